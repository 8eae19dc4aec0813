/** Beyond it a timer of Node's fires at once. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1;

/**
 * Whether the work is done in time; rejects if it fails in time. Late, nobody hears of it.
 *
 * The timer keeps the process alive: it is gone with the work, and who waits to go on without that must get to.
 */
export async function isDoneWithin(timeoutMs: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), Math.min(timeoutMs, MAX_TIMER_MS));
  });
  try {
    return await Promise.race([work.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
