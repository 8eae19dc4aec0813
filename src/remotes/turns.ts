/** Work on one name at a time; different names do not wait for each other. */
export class Turns {
  readonly #running = new Map<string, Promise<unknown>>();

  /** Rejects with the signal's reason when it comes before the turn does. */
  async run<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    for (;;) {
      const running = this.#running.get(name);
      if (running === undefined) break;
      await settled(running, signal);
    }
    const own = work();
    this.#running.set(name, own);
    try {
      return await own;
    } finally {
      this.#running.delete(name);
    }
  }
}

async function settled(running: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let onAbort = (): void => {};
  try {
    await new Promise<void>((resolve, reject) => {
      onAbort = () => reject(signal.reason as Error);
      signal.addEventListener("abort", onAbort);
      running.then(
        () => resolve(),
        () => resolve(),
      );
    });
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
