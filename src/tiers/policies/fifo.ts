import { OrderedPolicy } from "./ordered-policy.ts";

/** First in, first out; uses change nothing. */
export class FifoPolicy extends OrderedPolicy {
  readonly name = "FIFO";
  readonly #entered: number[] = [];
  #now = 0;

  protected override comesBefore(a: number, b: number): boolean {
    return this.#entered[a]! < this.#entered[b]!;
  }

  protected override onAdd(slot: number): void {
    this.#entered[slot] = this.#now++;
  }

  protected override onTouch(): void {}
}
