import { statfs } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { type Logger, UsageError, formatBytes, messageOf } from "../../core/index.ts";
import { downloadFile, partialPathOf } from "./download.ts";
import { withDownloadLock } from "./download-lock.ts";
import { HubCache, sizeOf } from "./hub-cache.ts";
import { type HubFetchOptions, HubUnavailableError, type Sleep } from "./hub-fetch.ts";
import { type HubFile, isSafePath } from "./hub-file.ts";
import { HubRepository } from "./hub-repository.ts";
import { type HubSettings, readHubSettings, type Environment } from "./hub-settings.ts";
import { chooseModelFiles } from "./quant.ts";

export interface HubModelName {
  /** "owner/repo" */
  readonly repository: string;
  readonly quant: string | undefined;
}

export interface HubModelOptions {
  /** Branch, tag or commit. Default "main". */
  readonly revision?: string | undefined;
  readonly downloadDir?: string | undefined;
  readonly env: Environment;
  /** @param totalBytes what was missing at the start */
  readonly onBytes: (doneBytes: number, totalBytes: number) => void;
  readonly signal?: AbortSignal | undefined;
  readonly logger: Logger;
  readonly sleep?: Sleep | undefined;
}

const DEFAULT_REVISION = "main";
/** With the files here already, a hub that does not answer is not waited for. */
const MAX_TRIES_WHEN_CACHED = 2;

/**
 * Finds a model of the hub in the cache, and downloads what is missing. Without the network, or with
 * HF_HUB_OFFLINE=1, the files of the last time do.
 *
 * @returns the path of its first file
 * @throws UsageError for what is not there or not allowed, Error when the hub cannot be reached
 */
export async function findHubModel(name: HubModelName, options: HubModelOptions): Promise<string> {
  const { revision = DEFAULT_REVISION } = options;
  if (!isSafePath(revision)) {
    throw new UsageError(
      `Cannot use --revision "${revision}": wanted a branch, a tag or a commit`,
      { param: "--revision" },
    );
  }
  const settings = readHubSettings(options.env, options.downloadDir);
  return new HubModel(name, revision, settings, options).find();
}

class HubModel {
  readonly #name: HubModelName;
  readonly #revision: string;
  readonly #settings: HubSettings;
  readonly #options: HubModelOptions;
  readonly #cache: HubCache;
  readonly #sleep: Sleep;

  constructor(
    name: HubModelName,
    revision: string,
    settings: HubSettings,
    options: HubModelOptions,
  ) {
    this.#name = name;
    this.#revision = revision;
    this.#settings = settings;
    this.#options = options;
    this.#cache = new HubCache(settings.cacheDir, name.repository);
    this.#sleep =
      options.sleep ?? ((delayMs, signal) => delay(delayMs, undefined, signal ? { signal } : {}));
  }

  async find(): Promise<string> {
    const { repository, quant } = this.#name;
    const { isOffline, cacheDir } = this.#settings;
    const cached = await this.#findCached();
    // A commit never changes. Without a quant, there may be a better file than the one that is here.
    if (cached?.commit === this.#revision && quant !== undefined) return cached.path;
    if (isOffline) {
      if (cached !== undefined) return cached.path;
      throw new UsageError(
        `Cannot load "${repository}": HF_HUB_OFFLINE is set, and it is not in ${cacheDir}`,
      );
    }
    try {
      return await this.#download(cached === undefined ? undefined : MAX_TRIES_WHEN_CACHED);
    } catch (error) {
      if (!(error instanceof HubUnavailableError)) throw error;
      if (cached === undefined) {
        throw new Error(`Cannot download "${repository}": ${error.message}`, { cause: error });
      }
      this.#options.logger.warn(
        `${error.message}: serving ${cached.path}, which was downloaded before`,
      );
      return cached.path;
    }
  }

  async #findCached(): Promise<{ readonly commit: string; readonly path: string } | undefined> {
    const { repository, quant } = this.#name;
    const commit = await this.#cache.commitOf(this.#revision);
    if (commit === undefined) return undefined;
    const paths = await this.#cache.filesAt(commit);
    try {
      const [first] = chooseModelFiles(repository, paths, quant);
      return { commit, path: this.#cache.snapshotPath(commit, first!) };
    } catch (error) {
      if (error instanceof UsageError) return undefined;
      throw error;
    }
  }

  async #download(maxTries: number | undefined): Promise<string> {
    const { repository, quant } = this.#name;
    const request = this.#request();
    const { commit, files } = await new HubRepository({ ...request, maxTries }).list(
      this.#revision,
    );
    const paths = chooseModelFiles(
      repository,
      files.map(({ path }) => path),
      quant,
    );
    const parts = paths.map((path) => files.find((file) => file.path === path)!);
    try {
      await this.#cache.prepare();
    } catch (error) {
      throw new UsageError(
        `Cannot keep models in "${this.#settings.cacheDir}": ${messageOf(error)}`,
        { cause: error },
      );
    }
    await this.#fetchAll(new HubRepository(request), commit, parts);
    for (const part of parts) await this.#cache.link(commit, part);
    await this.#cache.setCommit(this.#revision, commit);
    return this.#cache.snapshotPath(commit, paths[0]!);
  }

  #request(): HubFetchOptions {
    const { repository } = this.#name;
    const { signal } = this.#options;
    return { repository, settings: this.#settings, signal, sleep: this.#sleep };
  }

  async #fetchAll(hub: HubRepository, commit: string, parts: readonly HubFile[]): Promise<void> {
    const missing = new Map<HubFile, number>();
    for (const part of parts) {
      if (await this.#cache.hasBlob(part)) continue;
      missing.set(part, part.fileBytes - (await this.#partialBytes(part)));
    }
    if (missing.size === 0) return;
    const totalBytes = sum(missing.values());
    await this.#checkSpace(totalBytes);
    const { logger, onBytes } = this.#options;
    const size = formatBytes(totalBytes);
    logger.info(`Downloading ${[...missing.keys()].map((part) => part.path).join(", ")} (${size})`);
    let earlierBytes = 0;
    for (const [part, partBytes] of missing) {
      const report = (doneBytes: number): void =>
        onBytes(earlierBytes + Math.min(doneBytes, partBytes), totalBytes);
      await this.#fetch(hub, commit, part, part.fileBytes - partBytes, report);
      earlierBytes += partBytes;
    }
  }

  /** @param report takes how many bytes have come since there were `startBytes` */
  async #fetch(
    hub: HubRepository,
    commit: string,
    file: HubFile,
    startBytes: number,
    report: (doneBytes: number) => void,
  ): Promise<void> {
    const { signal, logger } = this.#options;
    let isWaiting = false;
    const lock = `${this.#cache.blobPath(file)}.warmkv.lock`;
    const onWait = async (): Promise<void> => {
      if (!isWaiting) logger.info(`Waiting for another process that downloads ${file.path}`);
      isWaiting = true;
      report((await this.#partialBytes(file)) - startBytes);
    };
    const lockOptions = { signal, sleep: this.#sleep, wallMs: () => Date.now(), onWait };
    await withDownloadLock(lock, lockOptions, async () => {
      // Somebody else may have brought it meanwhile.
      if (await this.#cache.hasBlob(file)) return;
      let doneBytes = (await this.#partialBytes(file)) - startBytes;
      await downloadFile(file, this.#cache.blobPath(file), {
        request: (start, requestSignal) => hub.open(commit, file.path, start, requestSignal),
        onBytes: (numBytes) => report((doneBytes += numBytes)),
        signal,
        sleep: this.#sleep,
      });
    });
  }

  async #partialBytes(file: HubFile): Promise<number> {
    const size = (await sizeOf(partialPathOf(this.#cache.blobPath(file)))) ?? 0;
    return size > file.fileBytes ? 0 : size;
  }

  async #checkSpace(neededBytes: number): Promise<void> {
    const { cacheDir } = this.#settings;
    const { bavail, bsize } = await statfs(cacheDir);
    const freeBytes = bavail * bsize;
    if (freeBytes >= neededBytes) return;
    throw new UsageError(
      `Cannot download "${this.#name.repository}" into ${cacheDir}: it takes ${formatBytes(neededBytes)}, and ${formatBytes(freeBytes)} are free; --download-dir names another place`,
      { param: "--download-dir" },
    );
  }
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
