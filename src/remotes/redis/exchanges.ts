import { RespError, type RespReply } from "../../protocol/index.ts";
import {
  HEADER_BYTES,
  STRIPE_BYTES,
  type ValueHeader,
  decodeHeader,
  encodeHeader,
  headKey,
  stripeKeys,
  stripes,
} from "./layout.ts";
import type { RedisSession } from "./redis-session.ts";

// What is said on one session for each verb of a RemoteStore. An answer that is none of the expected ones is thrown
// as the RespError it is; one name's among many is answered as such.

/**
 * Stripes whose value is not whole yet are forgotten after this time: nobody else would. A put that takes longer
 * fails.
 */
const UNFINISHED_SECONDS = 600;

/** Stripes live this much longer than the first key, which is what readers ask for. */
const STRIPE_MARGIN_SECONDS = 60;

/** Stripes asked for and not read yet. More only fill the server's memory. */
const MAX_ASKED_STRIPES = 2;

export type NameAnswer = boolean | RespError;

/** @returns for each name whether it is there */
export async function existValues(
  session: RedisSession,
  names: readonly string[],
): Promise<NameAnswer[]> {
  for (const name of names) session.add("EXISTS", headKey(name));
  await session.send();
  const replies = await session.replies(names.length);
  return replies.map((reply) => (reply instanceof RespError ? reply : reply === 1));
}

/** @returns for each name whether it was there */
export async function removeValues(
  session: RedisSession,
  names: readonly string[],
): Promise<NameAnswer[]> {
  for (const name of names) session.add("GETRANGE", headKey(name), "0", String(HEADER_BYTES - 1));
  await session.send();
  const heads = await session.replies(names.length);
  const answers: NameAnswer[] = heads.map((head) =>
    head instanceof RespError ? head : head !== "",
  );
  for (const [index, name] of names.entries()) {
    if (answers[index] !== true) continue;
    const header = decodeHeader(Buffer.from(String(heads[index]), "latin1"));
    session.add("UNLINK", headKey(name), ...(header ? stripeKeys(name, header) : []));
  }
  await session.send();
  for (const index of names.keys()) {
    if (answers[index] !== true) continue;
    const reply = await session.reply();
    answers[index] = reply instanceof RespError ? reply : reply !== 0;
  }
  return answers;
}

/** @returns the length; undefined when there is no value, no room for it, or not all of it */
export async function getValue(
  session: RedisSession,
  name: string,
  allocate: (byteLength: number) => Uint8Array | undefined,
): Promise<number | undefined> {
  session.add("GET", headKey(name));
  await session.send();
  const headBytes = await session.valueLength();
  if (headBytes instanceof RespError) throw headBytes;
  if (headBytes === null) return undefined;
  const header = await readHeader(session, headBytes);
  if (header === undefined) {
    await removeDamaged(session, [headKey(name)]);
    return undefined;
  }
  const target = allocate(header.byteLength)?.subarray(0, header.byteLength);
  if (target === undefined) {
    await session.discardValue(headBytes - HEADER_BYTES);
    return undefined;
  }
  const [first, ...others] = stripes(target, header);
  const keys = stripeKeys(name, header);
  const outcome = await readStripes(session, first!, others, keys);
  if (outcome === "damaged") await removeDamaged(session, [headKey(name), ...keys]);
  return outcome === "whole" ? header.byteLength : undefined;
}

/** @returns whether it is stored now; false: no room */
export async function putValue(
  session: RedisSession,
  name: string,
  value: Uint8Array,
  ttlSeconds: number | undefined,
): Promise<boolean> {
  session.add("EXISTS", headKey(name));
  await session.send();
  if ((await expectNumber(session)) === 1) return true;

  const header = { stripeBytes: STRIPE_BYTES, byteLength: value.byteLength };
  const [first, ...others] = stripes(value, header);
  const keys = stripeKeys(name, header);
  const isRoom =
    (await putStripes(session, keys, others)) &&
    (await putHead(session, name, keys, [encodeHeader(header), first!], ttlSeconds));
  if (!isRoom) {
    session.add("UNLINK", headKey(name), ...keys);
    await session.send();
    await session.reply();
  }
  return isRoom;
}

/** @returns undefined after reading all of a value that has none */
async function readHeader(
  session: RedisSession,
  headBytes: number,
): Promise<ValueHeader | undefined> {
  const bytes = Buffer.alloc(Math.min(headBytes, HEADER_BYTES));
  await session.readInto(bytes);
  const header = decodeHeader(bytes);
  const stripeBytes = headBytes - bytes.byteLength;
  if (header && stripeBytes === Math.min(header.stripeBytes, header.byteLength)) return header;
  await session.discardValue(stripeBytes);
  return undefined;
}

type Outcome =
  | "whole"
  /** A stripe is gone, or of another length. */
  | "damaged"
  /** The server did not give a stripe: it is moving, for one. */
  | "refused";

/** Asks for stripes while earlier ones arrive. */
async function readStripes(
  session: RedisSession,
  first: Uint8Array,
  others: readonly Uint8Array[],
  keys: readonly string[],
): Promise<Outcome> {
  let numAsked = 0;
  const ask = async (upTo: number): Promise<void> => {
    const asked = keys.slice(numAsked, upTo);
    if (asked.length === 0) return;
    for (const key of asked) session.add("GET", key);
    numAsked += asked.length;
    await session.send();
  };
  await ask(MAX_ASKED_STRIPES);
  await session.readInto(first);
  await session.valueEnd();
  let outcome: Outcome = "whole";
  for (let index = 0; index < numAsked; index++) {
    const length = await session.valueLength();
    if (length instanceof RespError) {
      outcome = "refused";
    } else if (outcome === "whole" && length === others[index]!.byteLength) {
      await ask(index + 1 + MAX_ASKED_STRIPES);
      await session.readInto(others[index]!);
      await session.valueEnd();
    } else {
      if (outcome === "whole") outcome = "damaged";
      if (length !== null) await session.discardValue(length);
    }
  }
  return outcome;
}

/** @returns false: no room */
async function putStripes(
  session: RedisSession,
  keys: readonly string[],
  pieces: readonly Uint8Array[],
): Promise<boolean> {
  if (keys.length === 0) return true;
  for (const [index, key] of keys.entries()) {
    session.add("SET", key, pieces[index]!, "EX", String(UNFINISHED_SECONDS));
  }
  await session.send();
  return areStored(await session.replies(keys.length));
}

/**
 * Makes the value visible.
 *
 * @returns false: no room, not even for what was stored before
 */
async function putHead(
  session: RedisSession,
  name: string,
  keys: readonly string[],
  head: readonly Uint8Array[],
  ttlSeconds: number | undefined,
): Promise<boolean> {
  const stripeSeconds = String((ttlSeconds ?? 0) + STRIPE_MARGIN_SECONDS);
  for (const key of keys) {
    if (ttlSeconds === undefined) session.add("PERSIST", key);
    else session.add("EXPIRE", key, stripeSeconds);
  }
  if (keys.length > 0) session.add("EXISTS", ...keys);
  const expiry = ttlSeconds === undefined ? [] : ["EX", String(ttlSeconds)];
  session.add("SET", headKey(name), head, ...expiry);
  await session.send();
  const stripeReplies = await session.replies(keys.length > 0 ? keys.length + 1 : 0);
  const isStored = areStored([await session.reply()]);
  const error = stripeReplies.find((reply) => reply instanceof RespError);
  if (error) throw error;
  return isStored && (keys.length === 0 || stripeReplies.at(-1) === keys.length);
}

/** @returns false: no room */
function areStored(replies: readonly RespReply[]): boolean {
  const errors = replies.filter((reply) => reply instanceof RespError);
  const unexpected = errors.find((error) => error.code !== "OOM");
  if (unexpected) throw unexpected;
  return errors.length === 0;
}

async function expectNumber(session: RedisSession): Promise<RespReply> {
  const reply = await session.reply();
  if (reply instanceof RespError) throw reply;
  return reply;
}

/** While a slot moves, a key that is not here may be on the other server: nothing is damaged. */
async function removeDamaged(session: RedisSession, keys: readonly string[]): Promise<void> {
  if (session.isAsking) return;
  session.add("UNLINK", ...keys);
  await session.send();
  await session.reply();
}
