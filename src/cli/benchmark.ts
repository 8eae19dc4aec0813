import { Progress } from "../bench/index.ts";
import { systemClock } from "../core/index.ts";

/** 128 + SIGINT, as shells have it. */
const EXIT_INTERRUPTED = 130;

/** Runs with a progress line, and with a signal that Ctrl-C aborts. */
export async function interruptibly(
  run: (progress: Progress, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort(new Error("Interrupted"));
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  using progress = new Progress(process.stderr, systemClock);
  try {
    await run(progress, interruption.signal);
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    progress.hide();
    console.error("Interrupted");
    process.exitCode = EXIT_INTERRUPTED;
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

/** Says what is wrong with a measurement; the command goes on and ends with 1. */
export function fail(sentence: string): void {
  console.error(sentence);
  process.exitCode = 1;
}

export function saySaved(...files: (string | undefined)[]): void {
  for (const file of files) if (file !== undefined) console.log(`  saved     ${file}`);
}
