import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { createPolicy, policyNames } from "../../../src/tiers/policies/index.ts";
import { describePolicy } from "./policy-suite.ts";

for (const name of policyNames) describePolicy(name, () => createPolicy(name));

describe("createPolicy()", () => {
  it("knows a policy by its name in upper or lower case", () => {
    for (const name of policyNames) {
      expect(createPolicy(name).name).toBe(name);
      expect(createPolicy(name.toLowerCase()).name).toBe(name);
    }
  });

  it("names the policies there are when it is asked for another", () => {
    expect(() => createPolicy("COST_AWARE")).toThrow(UsageError);
    expect(() => createPolicy("COST_AWARE")).toThrow(
      'Cannot use cache_policy "COST_AWARE": wanted one of LRU, LFU, FIFO, MRU, ADAPTIVE',
    );
  });

  it("takes no name of an object's own for a policy", () => {
    for (const name of ["", "constructor", "__proto__"]) {
      expect(() => createPolicy(name)).toThrow(UsageError);
    }
  });
});
