import type { KvConnector, KvMatch } from "./connector.ts";

const noMatch: KvMatch = { numTokens: 0, [Symbol.dispose]() {} };

/** A cache that matches, loads and saves nothing: caching switched off. */
export class NullConnector implements KvConnector {
  async lookup(): Promise<KvMatch> {
    return noMatch;
  }
  async load(_match: KvMatch, from: number): Promise<number> {
    return from;
  }
  async save(): Promise<number> {
    return 0;
  }
  finish(): void {}
  async flush(): Promise<void> {}
  async close(): Promise<void> {}
}
