import type { EventEmitter } from "node:events";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/**
 * Waits for the first SIGINT or SIGTERM. From then on `onSecond` answers the next one; that one has no
 * patience left.
 *
 * @param source where signals come from: `process`
 */
export async function firstSignal(source: EventEmitter, onSecond: () => void): Promise<string> {
  return new Promise((resolve) => {
    let isFirst = true;
    const onSignal = (signal: string): void => {
      if (!isFirst) return onSecond();
      isFirst = false;
      resolve(signal);
    };
    for (const signal of SIGNALS) source.on(signal, onSignal);
  });
}
