import fc from "fast-check";
import { expect, test } from "vitest";
import type { Engine, GenerateRequest, GenerationDelta } from "../../../src/engine/engine.ts";
import { collectAnswers, generateChoices } from "../../../src/server/generation.ts";

/** A choice is as many tokens as numbers, each so many turns of the microtask queue after the one before. */
function engineOf(choices: readonly (readonly number[])[]): Engine {
  return {
    async *generate({ id }: GenerateRequest): AsyncGenerator<GenerationDelta, void, undefined> {
      await new Promise(setImmediate);
      for (const hops of choices[Number(id)]!) {
        for (let hop = 0; hop < hops; hop++) await Promise.resolve();
        yield { text: id, tokens: [0], numCachedTokens: 0 };
      }
    },
  } as unknown as Engine;
}

test("generateChoices() hands on all deltas of all choices, however they fall together", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.nat(8), { maxLength: 6 }), { minLength: 1, maxLength: 4 }),
      async (choices) => {
        const requests = choices.map(
          (_, id) => ({ id: String(id), sampling: {} }) as GenerateRequest,
        );
        const deltas = generateChoices(engineOf(choices), requests, new AbortController());
        const answers = await collectAnswers(deltas, choices.length, () => {});
        const expected = choices.map((choice, id) => String(id).repeat(choice.length));
        expect(answers.map(({ text }) => text)).toEqual(expected);
      },
    ),
    { numRuns: 500 },
  );
});
