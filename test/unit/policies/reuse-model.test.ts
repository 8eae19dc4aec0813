import { describe, expect, it } from "vitest";
import { type ChunkRecord, ReuseModel } from "../../../src/tiers/policies/reuse-model.ts";

const usedAt = (lastUse: number, numUses = 1, isPromptEnd = false): ChunkRecord => ({
  numUses,
  isPromptEnd,
  hadChild: true,
  lastUse,
  observedUntil: lastUse,
});

/** Lets the model see chunks of one kind, all of which are used again after `gap`. */
function seeReuses(model: ReuseModel, count: number, gap: number, numUses = 1): void {
  for (let seen = 0; seen < count; seen++) model.observeReuse(usedAt(0, numUses), gap);
  model.update();
}

/** Lets the model see chunks of one kind, none of which is used again before `age`. */
function seeNoReuses(model: ReuseModel, count: number, age: number, numUses = 1): void {
  for (let seen = 0; seen < count; seen++) model.observe(usedAt(0, numUses), age);
  model.update();
}

describe("ReuseModel", () => {
  it("expects more of chunks that were used more often or later, before it has seen any", () => {
    const model = new ReuseModel();
    expect(model.worth(usedAt(0, 2), 0)).toBeGreaterThan(model.worth(usedAt(0, 1), 0));
    expect(model.worth(usedAt(0), 0)).toBeGreaterThan(model.worth(usedAt(0), 10_000));
    expect(model.worth(usedAt(0), 0)).toBeGreaterThan(model.worth(usedAt(0, 1, true), 0));
    expect(model.worthOfNew(3)).toBe(model.worth(usedAt(7, 3), 7));
  });

  it("takes all chunks that were used often for one kind", () => {
    const model = new ReuseModel();
    expect(model.worth(usedAt(0, 1000), 0)).toBe(model.worth(usedAt(0, 6), 0));
  });

  it("lets what it has seen of a kind overrule the first guess", () => {
    const model = new ReuseModel();
    seeReuses(model, 2000, 5000, 1);
    seeNoReuses(model, 2000, 100_000, 2);
    expect(model.worth(usedAt(0, 1), 0)).toBeGreaterThan(model.worth(usedAt(0, 2), 0));
  });

  it("finds a chunk worth most shortly before it is usually used again, and little after that", () => {
    const model = new ReuseModel();
    seeReuses(model, 1000, 20_000);
    seeNoReuses(model, 1000, 1_000_000);
    const fresh = model.worth(usedAt(0), 0);
    const due = model.worth(usedAt(0), 17_000);
    const overdue = model.worth(usedAt(0), 70_000);
    expect(due).toBeGreaterThan(1.5 * fresh);
    expect(overdue).toBeLessThan(fresh / 5);
  });

  it("finds chunks worth twice as much when twice as many of them are used again", () => {
    const model = new ReuseModel();
    seeReuses(model, 40_000, 1000, 1);
    seeNoReuses(model, 160_000, 4000, 1);
    seeReuses(model, 80_000, 1000, 2);
    seeNoReuses(model, 120_000, 4000, 2);
    const ratio = model.worth(usedAt(0, 2), 0) / model.worth(usedAt(0, 1), 0);
    expect(ratio).toBeGreaterThan(1.8);
    expect(ratio).toBeLessThan(2.5);
  });

  it("counts each moment of a chunk's life once, however often it is observed", () => {
    const [often, once] = [new ReuseModel(), new ReuseModel()];
    for (let chunk = 0; chunk < 500; chunk++) {
      const [first, second] = [usedAt(0), usedAt(0)];
      for (let now = 0; now <= 3000; now += 7) often.observe(first, now);
      often.observeReuse(first, 3000);
      once.observeReuse(second, 3000);
    }
    often.update();
    once.update();
    for (const age of [0, 500, 2500, 5000]) {
      expect(often.worth(usedAt(0), age)).toBeCloseTo(once.worth(usedAt(0), age), 12);
    }
  });

  it("forgets by and by what is no longer so", () => {
    const [forgetful, faithful] = [new ReuseModel(), new ReuseModel()];
    for (const model of [forgetful, faithful]) seeReuses(model, 20_000, 5000);
    for (let round = 0; round < 12; round++) {
      forgetful.decay();
      for (const model of [forgetful, faithful]) seeNoReuses(model, 200, 100_000);
    }
    const chunk = usedAt(0);
    expect(forgetful.worth(chunk, 0)).toBeLessThan(faithful.worth(chunk, 0) / 2);
  });
});
