import { OrderedPolicy } from "./ordered-policy.ts";

/** Least frequently used first; among equals the one that came in first. */
export class LfuPolicy extends OrderedPolicy {
  readonly name = "LFU";
  readonly #numUses: number[] = [];
  readonly #entered: number[] = [];
  #now = 0;

  protected override comesBefore(a: number, b: number): boolean {
    const byUses = this.#numUses[a]! - this.#numUses[b]!;
    return byUses < 0 || (byUses === 0 && this.#entered[a]! < this.#entered[b]!);
  }

  protected override onAdd(slot: number): void {
    this.#numUses[slot] = 1;
    this.#entered[slot] = this.#now++;
  }

  protected override onTouch(slot: number): void {
    this.#numUses[slot]!++;
  }
}
