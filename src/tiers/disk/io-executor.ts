/** What goes first when all workers are busy. */
export type IoPriority =
  /** Somebody waits for the bytes. */
  | "read"
  /** Makes room. */
  | "remove"
  /** Behind the request. */
  | "write"
  /** Bookkeeping that can wait: one at a time, and only while nothing else is to be done. */
  | "refresh";

/** Never rejects. */
type Job = () => Promise<void>;

/**
 * Runs jobs, at most `numWorkers` at a time, first by priority and then in the order they came. A job
 * that runs is never interrupted. Whoever submits bounds how much.
 */
export class IoExecutor {
  readonly #numWorkers: number;
  readonly #queues: Record<IoPriority, Job[]> = { read: [], remove: [], write: [], refresh: [] };
  readonly #onJobEnd = (): void => {
    this.#numRunning--;
    this.#startNext();
  };
  #numRunning = 0;
  #onIdle: (() => void)[] = [];

  constructor(numWorkers: number) {
    this.#numWorkers = numWorkers;
  }

  numQueued(priority: IoPriority): number {
    return this.#queues[priority].length;
  }

  /** @param job deals with its failures itself */
  submit(priority: IoPriority, job: Job): void {
    this.#queues[priority].push(job);
    this.#startNext();
  }

  run<T>(priority: IoPriority, job: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.submit(priority, () => job().then(resolve, reject));
    });
  }

  /** Resolves when nothing runs and nothing waits. */
  idle(): Promise<void> {
    if (this.#numRunning === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  #startNext(): void {
    if (this.#numRunning === this.#numWorkers) return;
    const { read, remove, write } = this.#queues;
    const job = read.shift() ?? remove.shift() ?? write.shift() ?? this.#nextRefresh();
    if (job !== undefined) {
      this.#numRunning++;
      void job().then(this.#onJobEnd);
    } else if (this.#numRunning === 0) {
      for (const resolve of this.#onIdle.splice(0)) resolve();
    }
  }

  #nextRefresh(): Job | undefined {
    return this.#numRunning === 0 ? this.#queues.refresh.shift() : undefined;
  }
}
