import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Inbox } from "../../../src/protocol/inbox.ts";
import {
  RespCommands,
  RespError,
  readReply,
  readValueEnd,
  readValueLength,
} from "../../../src/protocol/resp.ts";

const text = (commands: RespCommands): string => Buffer.concat(commands.parts()).toString("latin1");

/** A source that has received all of `bytes`, in pieces of `step`. */
function received(bytes: string, step = bytes.length): Inbox {
  const inbox = new Inbox();
  for (let at = 0; at < bytes.length; at += step) {
    inbox.give(Buffer.from(bytes.slice(at, at + step), "latin1"));
  }
  return inbox;
}

describe("RespCommands", () => {
  test("writes a pipeline of text as one part", () => {
    const commands = new RespCommands().add("EXISTS", "a").add("EXISTS", "ü");
    expect(commands.numCommands).toBe(2);
    expect(commands.parts()).toHaveLength(1);
    expect(Buffer.concat(commands.parts()).toString()).toBe(
      "*2\r\n$6\r\nEXISTS\r\n$1\r\na\r\n*2\r\n$6\r\nEXISTS\r\n$2\r\nü\r\n",
    );
  });

  test("writes values as the parts they are, without a copy", () => {
    const value = Buffer.from("12345");
    const pieces = [Buffer.from("67"), Buffer.from("8")];
    const commands = new RespCommands().add("SET", "k", value, "EX", "9").add("SET", "l", pieces);
    const parts = commands.parts();
    expect(parts[1]).toBe(value);
    expect(parts.slice(3, 5)).toEqual(pieces);
    expect(text(commands)).toBe(
      "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\n12345\r\n$2\r\nEX\r\n$1\r\n9\r\n" +
        "*3\r\n$3\r\nSET\r\n$1\r\nl\r\n$3\r\n678\r\n",
    );
  });
});

describe("readReply()", () => {
  test.each([
    ["+OK\r\n", "OK"],
    [":-1\r\n", -1],
    [":42\r\n", 42],
    ["$-1\r\n", null],
    ["$0\r\n\r\n", ""],
    ["$5\r\na\r\n\xffb\r\n", "a\r\n\xffb"],
  ])("reads %j however it comes", async (bytes, wanted) => {
    expect(await readReply(received(bytes))).toBe(wanted);
    expect(await readReply(received(bytes, 1))).toBe(wanted);
  });

  test("answers an error with its first word as the code", async () => {
    const reply = await readReply(received("-MOVED 1 10.0.0.1:7000\r\n"));
    expect(reply).toBeInstanceOf(RespError);
    expect(reply).toMatchObject({ code: "MOVED", message: "MOVED 1 10.0.0.1:7000" });
  });

  test.each([
    "?\r\n",
    "\r\n",
    ":x\r\n",
    ":1e3\r\n",
    "$-2\r\n",
    "$99999\r\n",
    "$1\r\nab\r\n",
    "*1\r\n",
  ])("refuses %j", async (bytes) => {
    await expect(readReply(received(bytes))).rejects.toMatchObject({
      name: "ConnectionError",
      code: "protocol",
    });
  });

  test("answers or refuses whatever comes, and never waits for more than was announced", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (bytes) => {
        const inbox = received(`${Buffer.from(bytes).toString("latin1")}\r\n`.repeat(2));
        const reading = readReply(inbox);
        // What is incomplete ends with its connection.
        setImmediate(() => inbox.fail(new Error("end")));
        await reading.catch((error: unknown) => expect(error).toBeInstanceOf(Error));
      }),
    );
  });
});

describe("readValueLength()", () => {
  test("leaves the value's bytes to the caller", async () => {
    const inbox = received("$3\r\nabc\r\n+OK\r\n");
    const target = Buffer.alloc(3);
    expect(await readValueLength(inbox)).toBe(3);
    await inbox.readInto(target);
    await readValueEnd(inbox);
    expect(target.toString()).toBe("abc");
    expect(await readReply(inbox)).toBe("OK");
  });

  test("answers that there is none", async () => {
    expect(await readValueLength(received("$-1\r\n"))).toBeNull();
  });

  test("answers the error that came instead", async () => {
    expect(await readValueLength(received("-ASK 1 h:1\r\n"))).toBeInstanceOf(RespError);
  });

  test.each([":1\r\n", "+OK\r\n"])("refuses %j", async (bytes) => {
    await expect(readValueLength(received(bytes))).rejects.toMatchObject({ code: "protocol" });
  });
});
