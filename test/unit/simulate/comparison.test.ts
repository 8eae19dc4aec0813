import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { FrequencySketch } from "../../../src/simulate/comparison/frequency-sketch.ts";
import { GhostList } from "../../../src/simulate/comparison/ghost-list.ts";
import {
  createSimulationPolicy,
  simulationPolicyName,
  simulationPolicyNames,
} from "../../../src/simulate/simulation-policy.ts";
import { describePolicy, key } from "../policies/policy-suite.ts";

for (const name of ["ARC", "S3-FIFO", "TINYLFU"]) {
  describePolicy(name, (capacity) => createSimulationPolicy(name, capacity));
}

describe("simulationPolicyName()", () => {
  it("knows policies in upper and lower case", () => {
    expect(simulationPolicyName(" s3-fifo")).toBe("S3-FIFO");
    expect(simulationPolicyNames.map((name) => simulationPolicyName(name.toLowerCase()))).toEqual(
      simulationPolicyNames,
    );
  });

  it("names the policies there are when it is asked for another", () => {
    expect(() => simulationPolicyName("clock")).toThrow(UsageError);
    expect(() => simulationPolicyName("clock")).toThrow(/"clock".*LRU, .*TINYLFU/);
  });
});

describe("FrequencySketch", () => {
  it("counts, up to 15, and halves its counts when the sample is full", () => {
    const sketch = new FrequencySketch(1000, 40);
    for (let add = 0; add < 6; add++) sketch.add("six");
    for (let add = 0; add < 20; add++) sketch.add("often");
    expect(sketch.count("six")).toBe(6);
    expect(sketch.count("often")).toBe(15);
    expect(sketch.count("never")).toBe(0);
    for (let add = 0; add < 14; add++) sketch.add(`other ${add}`);
    expect(sketch.count("six")).toBe(3);
    expect(sketch.count("often")).toBe(7);
  });
});

describe("GhostList", () => {
  it("forgets the oldest first, whatever was taken out before", () => {
    const ghosts = new GhostList();
    for (let name = 0; name < 100; name++) {
      ghosts.add(key(name));
      if (name % 3 === 0) expect(ghosts.take(key(name))).toBe(true);
      ghosts.shrinkTo(10);
    }
    expect(ghosts.size).toBe(10);
    const left = Array.from({ length: 100 }, (_, name) => name).filter((name) =>
      ghosts.take(key(name)),
    );
    expect(left).toEqual([85, 86, 88, 89, 91, 92, 94, 95, 97, 98]);
  });
});
