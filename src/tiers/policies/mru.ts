import { OrderedPolicy } from "./ordered-policy.ts";

/** Most recently used first: keeps what came before the cache was full. */
export class MruPolicy extends OrderedPolicy {
  readonly name = "MRU";
  readonly #lastUse: number[] = [];
  #now = 0;

  protected override comesBefore(a: number, b: number): boolean {
    return this.#lastUse[a]! > this.#lastUse[b]!;
  }

  protected override onAdd(slot: number): void {
    this.#lastUse[slot] = this.#now++;
  }

  protected override onTouch(slot: number): void {
    this.#lastUse[slot] = this.#now++;
  }
}
