import fc from "fast-check";
import { expect, it } from "vitest";
import { request } from "../../unit/server/random-requests.ts";
import { TestServer } from "./test-server.ts";

const NUM_RUNS = Number(process.env["WARMKV_NUM_REAL_BODIES"] ?? 150);

it("random bodies never crash the real server and never get a 500", async () => {
  await using server = await TestServer.start("hermes", "--max-model-len", "256", "--embeddings");
  const numByStatus = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(request, async ({ path, body }) => {
      const response = await fetch(server.url + path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      const text = await response.text();
      expect([200, 400, 404], text).toContain(response.status);
      expect(text).not.toContain("server_error");
      numByStatus.set(response.status, (numByStatus.get(response.status) ?? 0) + 1);
    }),
    { numRuns: NUM_RUNS, endOnFailure: true },
  );
  expect(numByStatus.get(200)).toBeGreaterThan(NUM_RUNS / 10);
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
});
