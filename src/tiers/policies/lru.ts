import { OrderedPolicy } from "./ordered-policy.ts";

/** Least recently used first. */
export class LruPolicy extends OrderedPolicy {
  readonly name: string = "LRU";
  readonly #lastUse: number[] = [];
  #now = 0;

  protected override comesBefore(a: number, b: number): boolean {
    return this.#lastUse[a]! < this.#lastUse[b]!;
  }

  protected override onAdd(slot: number): void {
    this.#lastUse[slot] = this.#now++;
  }

  protected override onTouch(slot: number): void {
    this.#lastUse[slot] = this.#now++;
  }
}
