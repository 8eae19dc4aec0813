import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { nodeRefusal } from "../../../src/cli/node-version.ts";

test.each(["20.19.0", "20.20.2", "22.0.0", "24.1.0"])("Node.js %s will do", (version) => {
  expect(nodeRefusal(version)).toBeUndefined();
});

test.each(["18.20.8", "20.18.3", "16.0.0"])("Node.js %s is refused", (version) => {
  const { engines } = JSON.parse(readFileSync("package.json", "utf8")) as {
    engines: { node: string };
  };
  expect(nodeRefusal(version)).toBe(
    `warmkv needs Node.js ${engines.node.replace(">=", "")} or later, and this is ${version}`,
  );
});
