import type { Engine, GenerateRequest, GenerationDelta } from "../engine/index.ts";
import type { Answer, ChoiceDelta } from "../openai/index.ts";

/**
 * Runs the choices of one request side by side and hands on their deltas as they come, never asking a
 * choice for more before its last delta was taken. Leaving the loop, an abort of the controller's
 * signal or the failure of one choice ends them all.
 */
export async function* generateChoices(
  engine: Engine,
  requests: readonly GenerateRequest[],
  controller: AbortController,
): AsyncGenerator<ChoiceDelta, void, undefined> {
  const choices = requests.map((request) =>
    request.sampling.maxTokens === 0
      ? emptyAnswer(engine, request, controller.signal)
      : engine.generate(request, controller.signal),
  );
  const ready: (() => ChoiceDelta | undefined)[] = [];
  let wake = (): void => {};
  const pull = (choiceIndex: number): void => {
    void choices[choiceIndex]!.next()
      .then(
        ({ done, value }) => ready.push(() => (done ? undefined : { choiceIndex, delta: value })),
        (error: unknown) =>
          ready.push(() => {
            throw error;
          }),
      )
      .then(() => wake());
  };
  try {
    for (const index of choices.keys()) pull(index);
    for (let numRunning = choices.length; numRunning > 0;) {
      // A choice may wake the loop for a delta that was taken meanwhile.
      while (ready.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const item = ready.shift()!();
      if (item === undefined) {
        numRunning--;
      } else {
        yield item;
        pull(item.choiceIndex);
      }
    }
  } finally {
    controller.abort();
    await Promise.allSettled(choices.map((choice) => choice.return()));
  }
}

/** To those who ask for no token. Where the prompt is to be scored, an engine makes one, which is left out. */
async function* emptyAnswer(
  engine: Engine,
  request: GenerateRequest,
  signal: AbortSignal,
): AsyncGenerator<GenerationDelta, void, undefined> {
  const empty = { text: "", tokens: [], numCachedTokens: 0, finishReason: "length" } as const;
  if (request.sampling.numPromptLogprobs === undefined) {
    yield empty;
    return;
  }
  const sampling = { ...request.sampling, maxTokens: 1 };
  for await (const { promptLogprobs } of engine.generate({ ...request, sampling }, signal)) {
    yield { ...empty, promptLogprobs };
    return;
  }
}

/** Waits for all choices to end. */
export async function collectAnswers(
  deltas: AsyncIterable<ChoiceDelta>,
  numChoices: number,
  onDelta: (delta: ChoiceDelta) => void,
): Promise<Answer[]> {
  const texts = Array.from({ length: numChoices }, () => "");
  const logprobs = texts.map((): Answer["logprobs"][number][] => []);
  const tokens = texts.map((): number[] => []);
  const promptLogprobs = texts.map((): Answer["promptLogprobs"] => undefined);
  const stopReasons = texts.map((): Answer["stopReason"] => undefined);
  const reasons = texts.map((): Answer["finishReason"] => "stop");
  for await (const choiceDelta of deltas) {
    onDelta(choiceDelta);
    const { choiceIndex, delta } = choiceDelta;
    texts[choiceIndex] += delta.text;
    tokens[choiceIndex]!.push(...delta.tokens);
    promptLogprobs[choiceIndex] ??= delta.promptLogprobs;
    stopReasons[choiceIndex] ??= delta.stopReason;
    logprobs[choiceIndex]!.push(...(delta.logprobs ?? []));
    if (delta.finishReason !== undefined) reasons[choiceIndex] = delta.finishReason;
  }
  return texts.map((text, i) => ({
    text,
    tokens: tokens[i]!,
    logprobs: logprobs[i]!,
    finishReason: reasons[i]!,
    stopReason: stopReasons[i],
    promptLogprobs: promptLogprobs[i],
  }));
}
