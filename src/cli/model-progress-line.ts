import { systemClock } from "../core/index.ts";
import type { ModelProgress } from "../models/index.ts";
import { ProgressLine } from "./progress.ts";

const LABELS: Readonly<Record<ModelProgress["activity"], string>> = {
  making: "Making",
  downloading: "Downloading",
};

/** Says on stderr how far a model has come that is made or downloaded. */
export class ModelProgressLine implements Disposable {
  readonly #model: string;
  #line: ProgressLine | undefined;

  constructor(model: string) {
    this.#model = model;
  }

  show({ activity, doneBytes, totalBytes }: ModelProgress): void {
    const label = `${LABELS[activity]} ${this.#model}:`;
    this.#line ??= new ProgressLine(label, process.stderr, systemClock);
    this.#line.update(doneBytes, totalBytes);
  }

  [Symbol.dispose](): void {
    this.#line?.[Symbol.dispose]();
  }
}
