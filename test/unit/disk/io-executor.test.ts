import { expect, test } from "vitest";
import { IoExecutor, type IoPriority } from "../../../src/tiers/disk/io-executor.ts";
import { Gate } from "./disk-fixtures.ts";

test("IoExecutor runs reads before removals before writes before refreshes, each in order", async () => {
  const executor = new IoExecutor(1);
  const gate = new Gate();
  const ran: string[] = [];
  const jobs = [executor.run("read", () => gate.opened)];
  const submit = (priority: IoPriority, name: string): void => {
    jobs.push(executor.run(priority, async () => void ran.push(name)));
  };
  submit("refresh", "refresh");
  submit("write", "write 1");
  submit("write", "write 2");
  submit("remove", "remove");
  submit("read", "read 1");
  submit("read", "read 2");
  gate.open();
  await Promise.all(jobs);
  expect(ran).toEqual(["read 1", "read 2", "remove", "write 1", "write 2", "refresh"]);
});

test("IoExecutor never runs more jobs than it has workers, and is idle when all are done", async () => {
  const executor = new IoExecutor(3);
  let numRunning = 0;
  let mostRunning = 0;
  const job = async (): Promise<void> => {
    mostRunning = Math.max(mostRunning, ++numRunning);
    await new Promise(setImmediate);
    numRunning--;
  };
  for (let index = 0; index < 20; index++) void executor.run("write", job);
  await executor.idle();
  expect([numRunning, mostRunning]).toEqual([0, 3]);
});

test("a job that rejects rejects for its submitter only", async () => {
  const executor = new IoExecutor(1);
  const failing = executor.run("write", () => Promise.reject(new Error("no")));
  const next = executor.run("write", async () => 1);
  await expect(failing).rejects.toThrow("no");
  expect(await next).toBe(1);
});
