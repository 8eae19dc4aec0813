import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

it("a reader that stops reading, as `| head` does, ends a command without a complaint", async () => {
  const child = spawn(process.execPath, [MAIN, "bench", "tiers", "--help"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  // The pipe has no reader before the command has written anything.
  child.stdout.destroy();
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [exitCode] = await once(child, "close");
  expect([exitCode, stderr]).toEqual([0, ""]);
});
