/**
 * Bounds the bytes that are being received. Whoever would exceed the bound waits for its turn, in the order of
 * arrival, and leaves its peer waiting meanwhile: its bytes stay in the sockets.
 */
export class Intake {
  readonly #maxBytes: number;
  readonly #maxWaitMs: number;
  readonly #queue: Waiting[] = [];
  #usedBytes = 0;

  constructor(maxBytes: number, maxWaitMs: number) {
    this.#maxBytes = maxBytes;
    this.#maxWaitMs = maxWaitMs;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Resolves to what ends the use of the bytes, or to undefined when its turn did not come in time. */
  async enter(numBytes: number): Promise<Disposable | undefined> {
    if (this.#queue.length === 0 && this.#fits(numBytes)) return this.#admit(numBytes);
    return new Promise((resolve) => {
      const waiting: Waiting = {
        numBytes,
        admit: () => {
          clearTimeout(timer);
          resolve(this.#admit(numBytes));
        },
        giveUp: () => {
          clearTimeout(timer);
          resolve(undefined);
        },
      };
      const timer = setTimeout(() => {
        this.#queue.splice(this.#queue.indexOf(waiting), 1);
        waiting.giveUp();
        this.#admitNext();
      }, this.#maxWaitMs).unref();
      this.#queue.push(waiting);
    });
  }

  /** Nobody waits any longer. */
  close(): void {
    for (const waiting of this.#queue.splice(0)) waiting.giveUp();
  }

  /** What is larger than the bound has its turn alone. */
  #fits(numBytes: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + numBytes <= this.#maxBytes;
  }

  #admit(numBytes: number): Disposable {
    this.#usedBytes += numBytes;
    let isInUse = true;
    return {
      [Symbol.dispose]: () => {
        if (!isInUse) return;
        isInUse = false;
        this.#usedBytes -= numBytes;
        this.#admitNext();
      },
    };
  }

  #admitNext(): void {
    while (this.#queue.length > 0 && this.#fits(this.#queue[0]!.numBytes)) {
      this.#queue.shift()!.admit();
    }
  }
}

interface Waiting {
  readonly numBytes: number;
  admit(): void;
  giveUp(): void;
}
