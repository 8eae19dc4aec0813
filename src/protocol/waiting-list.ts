import { ConnectionError } from "./connection-error.ts";
import { REMOTE_PRIORITIES, type RemotePriority } from "./priority.ts";

/** Calls that wait for their turn, a queue for each priority, bounded altogether. */
export class WaitingList {
  readonly #maxLength: number;
  readonly #queues: Record<RemotePriority, Waiter[]> = {
    lookup: [],
    prefetch: [],
    get: [],
    put: [],
  };

  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  get length(): number {
    return REMOTE_PRIORITIES.reduce((sum, priority) => sum + this.#queues[priority].length, 0);
  }

  /**
   * Resolves when it is this call's turn, rejects at the signal. One more than there is room for turns away the least
   * urgent one that came last, which may be this.
   */
  wait(priority: RemotePriority, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const queue = this.#queues[priority];
      const leave = (): void => signal.removeEventListener("abort", onAbort);
      const waiter: Waiter = {
        call: () => (leave(), resolve()),
        turnAway: (error) => (leave(), reject(error)),
      };
      const onAbort = (): void => {
        queue.splice(queue.indexOf(waiter), 1);
        waiter.turnAway(signal.reason as Error);
      };
      signal.addEventListener("abort", onAbort);
      queue.push(waiter);
      if (this.length > this.#maxLength) this.#turnOneAway();
    });
  }

  /** @returns whether somebody was waiting */
  callNext(priority: RemotePriority): boolean {
    const waiter = this.#queues[priority].shift();
    waiter?.call();
    return waiter !== undefined;
  }

  rejectAll(error: Error): void {
    for (const priority of REMOTE_PRIORITIES) {
      for (const waiter of this.#queues[priority].splice(0)) waiter.turnAway(error);
    }
  }

  #turnOneAway(): void {
    const least = REMOTE_PRIORITIES.findLast((priority) => this.#queues[priority].length > 0)!;
    const sentence = `More than ${this.#maxLength} calls wait for a connection`;
    this.#queues[least].pop()!.turnAway(new ConnectionError("unavailable", sentence));
  }
}

interface Waiter {
  readonly call: () => void;
  readonly turnAway: (error: Error) => void;
}
