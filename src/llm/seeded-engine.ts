import type { Engine, GenerateRequest } from "../engine/index.ts";

/** Odd, and far from round in any base: seeds of neighbouring requests have nothing in common. */
const STEP = 0x9e3779b1;
const NUM_SEEDS = 2 ** 32 - 1;

/**
 * The same engine, in which requests without a seed get one after another of a fixed row: what is asked in
 * the same order after a restart is answered alike.
 */
export function seededEngine(engine: Engine, seed: number): Engine {
  let next = seed >>> 0;
  const generate: Engine["generate"] = (request, signal) => {
    if (request.sampling.seed !== undefined) return engine.generate(request, signal);
    next = (next + STEP) >>> 0;
    const sampling = { ...request.sampling, seed: next % NUM_SEEDS };
    return engine.generate({ ...request, sampling } satisfies GenerateRequest, signal);
  };
  return new Proxy(engine, {
    get(target, key) {
      if (key === "generate") return generate;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}
