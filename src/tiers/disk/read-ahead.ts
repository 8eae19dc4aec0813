import type { ChunkKey } from "../../core/index.ts";
import type { KvBuffer } from "../../memory/index.ts";

/** Somebody who may no longer want what was asked for. */
export interface Reader {
  readonly isCancelled: boolean;
}

/** See DiskReader.start. */
export type StartRead = (
  key: ChunkKey,
  reader: Reader,
  done: (buffer: KvBuffer | undefined) => void,
) => boolean;

interface Read {
  isDone: boolean;
  buffer: KvBuffer | undefined;
}

/** The reads of one load that are under way or done and not yet taken, in order. */
export class ReadAhead implements Reader {
  readonly #reads: Read[] = [];
  #isCancelled = false;
  /** Whose end is waited for. */
  #awaited: Read | undefined;
  #wake: (() => void) | undefined;

  get size(): number {
    return this.#reads.length;
  }
  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  /** @returns false if there is no memory to read into */
  begin(key: ChunkKey, start: StartRead): boolean {
    const read: Read = { isDone: false, buffer: undefined };
    if (!start(key, this, (buffer) => this.#end(read, buffer))) return false;
    this.#reads.push(read);
    return true;
  }

  get isLastDone(): boolean {
    return this.#reads.at(-1)?.isDone === true;
  }

  /** Whether the first one is still being read. */
  get isWaiting(): boolean {
    return this.#reads[0]?.isDone === false;
  }

  /**
   * Resolves when the first one is there, or nobody wants it any more.
   *
   * @param num so many, or as many as there are: the last of them tells
   */
  settled(num = 1): Promise<void> {
    const awaited = this.#reads[Math.min(num, this.#reads.length) - 1];
    if (awaited === undefined || awaited.isDone) return Promise.resolve();
    this.#awaited = awaited;
    return new Promise((resolve) => (this.#wake = resolve));
  }

  /** Takes the first one. Undefined when it could not be had, or there is none. */
  take(): KvBuffer | undefined {
    return this.#reads.shift()?.buffer;
  }

  /** Gives back what is there and what will be. */
  cancel(): void {
    this.#isCancelled = true;
    for (const { buffer } of this.#reads.splice(0)) buffer?.[Symbol.dispose]();
    this.#wake?.();
  }

  #end(read: Read, buffer: KvBuffer | undefined): void {
    read.isDone = true;
    if (this.#isCancelled) buffer?.[Symbol.dispose]();
    else read.buffer = buffer;
    if (read === this.#awaited) this.#wake?.();
  }
}
