import type { ChunkKey } from "../../core/index.ts";

/** Which chunks' files have gone since it began: what was seen of them before counts no more. */
export class DepartureWatch implements Disposable {
  readonly #all: Set<DepartureWatch>;
  readonly #gone = new Set<ChunkKey>();

  /** @param all those that are told */
  constructor(all: Set<DepartureWatch>) {
    this.#all = all;
    all.add(this);
  }

  has(key: ChunkKey): boolean {
    return this.#gone.has(key);
  }

  note(key: ChunkKey): void {
    this.#gone.add(key);
  }

  [Symbol.dispose](): void {
    this.#all.delete(this);
  }
}
