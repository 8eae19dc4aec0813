import { expect, test } from "vitest";
import { publish, subscribe } from "../../../src/core/index.ts";

test("subscribe() hears of every event of its name until it is ended", () => {
  const heard: number[] = [];
  const end = subscribe("warmkv:cache:evicted", (event) => heard.push(event.numChunks));
  publish("warmkv:cache:evicted", { tier: "T", numChunks: 1 });
  publish("warmkv:cache:refused", { tier: "T", numChunks: 5 });
  publish("warmkv:cache:evicted", { tier: "T", numChunks: 2 });
  end();
  publish("warmkv:cache:evicted", { tier: "T", numChunks: 3 });
  expect(heard).toEqual([1, 2]);
});
