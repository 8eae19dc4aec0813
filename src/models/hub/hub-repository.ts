import { listFiles, modelInfo } from "@huggingface/hub";
import { type HubFile, isSafeFile } from "./hub-file.ts";
import { createHubFetch, type HubFetchOptions } from "./hub-fetch.ts";

/** What a repository holds at one commit. */
export interface HubListing {
  readonly commit: string;
  readonly files: readonly HubFile[];
}

/** Far more than models have: a server that sends pages without end ends nothing. */
const MAX_FILES = 100_000;
const COMMIT = /^[0-9a-f]{40}$/;

/** One repository of the hub, as seen over the network. */
export class HubRepository {
  readonly #options: HubFetchOptions;
  readonly #fetch: typeof fetch;

  constructor(options: HubFetchOptions) {
    this.#options = options;
    this.#fetch = createHubFetch(options);
  }

  /** @throws as createHubFetch does */
  async list(revision: string): Promise<HubListing> {
    const { repository, settings } = this.#options;
    const request = { hubUrl: settings.endpoint, fetch: this.#fetch };
    const { sha: commit } = await modelInfo({
      ...request,
      name: repository,
      revision,
      additionalFields: ["sha"],
    });
    if (!COMMIT.test(commit)) {
      throw new Error(`Cannot load "${repository}": ${settings.endpoint} names no commit`);
    }
    const files: HubFile[] = [];
    const entries = listFiles({ ...request, repo: repository, revision: commit, recursive: true });
    for await (const { type, path, size, oid, lfs } of entries) {
      const file = { path, fileBytes: lfs?.size ?? size, contentHash: lfs?.oid ?? oid ?? "" };
      if (type === "file" && isSafeFile(file)) files.push(file);
      if (files.length > MAX_FILES) throw new Error(`"${repository}" has too many files`);
    }
    return { commit, files };
  }

  /**
   * Asks for a file from `start` on. The answer may begin at 0 nevertheless: see its status.
   *
   * @throws as createHubFetch does
   */
  open(commit: string, path: string, start: number, signal: AbortSignal): Promise<Response> {
    const { repository, settings } = this.#options;
    const name = path.split("/").map(encodeURIComponent).join("/");
    return this.#fetch(`${settings.endpoint}/${repository}/resolve/${commit}/${name}`, {
      // Compressed, bytes could not be counted.
      headers: { range: `bytes=${start}-`, "accept-encoding": "identity" },
      signal,
    });
  }
}
