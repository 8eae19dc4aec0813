import {
  CacheConnector,
  type CacheConnectorOptions,
  type KvRequest,
} from "../../../src/connector/index.ts";
import { type CacheFixture, type CacheFixtureOptions, makeCache } from "../cache/cache-fixtures.ts";

/** A connector over a cache, and what an engine asks it. */
export class ConnectorSetup {
  readonly fixture: CacheFixture;
  readonly connector: CacheConnector;
  #nextId = 0;

  constructor(options: CacheFixtureOptions = {}, settings: Partial<CacheConnectorOptions> = {}) {
    this.fixture = makeCache(options);
    const { cache, log } = this.fixture;
    this.connector = new CacheConnector({
      cache,
      logger: log,
      blockingTimeoutMs: 10_000,
      ...settings,
    });
  }

  request(tokens: Int32Array, fields: Partial<KvRequest> = {}): KvRequest {
    return {
      id: `r${this.#nextId++}`,
      tokens,
      numPromptTokens: tokens.length,
      priority: 0,
      ...fields,
    };
  }

  async close(): Promise<void> {
    await this.connector.close();
    this.fixture.pool.assertAllFree();
  }
}
