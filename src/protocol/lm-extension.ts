import { createHmac, timingSafeEqual } from "node:crypto";
import { ConnectionError } from "./connection-error.ts";
import {
  LM_CODES,
  LM_NO_VALUE,
  type LmReply,
  type LmRequest,
  type LmShape,
  lmReplyWithout,
} from "./lm-message.ts";

/**
 * What warmkv's client and server say to each other beside LMCache's commands, in heads of the same form
 * (docs/lm-protocol.md). The numbers are far from LMCache's ("WK" in the upper half), so no LMCache client ever sends
 * one, and our client sends none but `hello` to a server that did not answer it.
 */
export const LM_EXTENSIONS = {
  /** May I? Answered by a head of its own kind, with a nonce when a token is wanted. */
  hello: 0x574b_0001,
  /** The key is a proof of the token. Answered by success or unauthorized. */
  prove: 0x574b_0002,
  /** A body of names. Answered by how many leading ones are stored. */
  lookup: 0x574b_0003,
  /** A body of names. Answered by how many were removed. */
  remove: 0x574b_0004,
  /** Names behind the one in the key. Answered by a body of names. */
  names: 0x574b_0005,
  /** Would you take that many bytes under this key? Answered by success, alreadyHeld or noRoom; no body. */
  offer: 0x574b_0006,
  /** PUT with an answer: success (also when it was held), noRoom, fail. */
  store: 0x574b_0007,
  /** Version 2. A body of names, the owner in the key, milliseconds in shape[0]. Answered by how many are the owner's. */
  claim: 0x574b_0008,
  /** Version 2. A body of names, the owner in the key. Answered by how many were the owner's. */
  release: 0x574b_0009,
} as const;

export const LM_EXTENSION_VERSION = 2;
/** Servers below it close the connection at a claim. */
export const LM_CLAIMS_VERSION = 2;

/** A body of names is small enough to be received before anything is known of its sender's honesty. */
export const LM_MAX_NAMES = 4096;
export const LM_MAX_NAMES_BYTES: number = 1024 * 1024;

/** In the place of a reply's format: no MemoryFormat of LMCache's is as large. */
const HELLO_MARK = 0x574b;

/** LMCache's servers parse the key of every request, of unknown ones too. */
const HELLO_KEY = "warmkv@1@0@0@uint8";

/** A request of our own, or one of LMCache's that has no value. */
export function lmRequest(command: number, key: string, fields?: Partial<LmRequest>): LmRequest {
  return { ...LM_NO_VALUE, byteLength: 0, location: 0, ...fields, command, key };
}

export function lmHello(): LmRequest {
  return lmRequest(LM_EXTENSIONS.hello, HELLO_KEY, { shape: [LM_EXTENSION_VERSION, 0, 0, 0] });
}

export interface LmHelloReply {
  readonly version: number;
  /** What the proof of a token is made over; undefined when none is wanted. 16 bytes. */
  readonly nonce: Uint8Array | undefined;
}

export function lmHelloReply({ version, nonce }: LmHelloReply): LmReply {
  const code = nonce === undefined ? LM_CODES.success : LM_CODES.unauthorized;
  const shape = nonce === undefined ? LM_NO_VALUE.shape : numbersOf(nonce);
  return { ...lmReplyWithout(code), format: HELLO_MARK, dtype: version, shape };
}

/** @returns undefined when it is the reply of another server to another command */
export function readLmHelloReply(reply: LmReply): LmHelloReply | undefined {
  if (reply.format !== HELLO_MARK) return undefined;
  const isTokenWanted = reply.code === LM_CODES.unauthorized;
  return { version: reply.dtype, nonce: isTokenWanted ? bytesOf(reply.shape) : undefined };
}

/** Shows that one knows the token without saying it, and never the same way twice. */
export function lmProof(token: string, nonce: Uint8Array): string {
  return createHmac("sha256", token).update("warmkv-lm-token\0").update(nonce).digest("hex");
}

/** In a time that does not depend on how much of it is right. */
export function isLmProof(proof: string, token: string, nonce: Uint8Array): boolean {
  const wanted = Buffer.from(lmProof(token, nonce));
  const given = Buffer.alloc(wanted.byteLength);
  given.write(proof);
  return timingSafeEqual(given, wanted) && proof.length === wanted.byteLength;
}

/** The number that `lookup`, `remove`, `names`, `claim` and `release` are answered with. */
export function lmReplyWithCount(count: number, byteLength = 0): LmReply {
  return { ...lmReplyWithout(LM_CODES.success), byteLength, shape: [count, 0, 0, 0] };
}

/** Names as a body: each behind its length in bytes (uint16, little-endian). At most LM_MAX_NAMES. */
export function encodeLmNames(names: readonly string[]): Buffer {
  const body = Buffer.alloc(names.reduce((sum, name) => sum + 2 + Buffer.byteLength(name), 0));
  let offset = 0;
  for (const name of names) {
    const byteLength = body.write(name, offset + 2);
    body.writeUInt16LE(byteLength, offset);
    offset += 2 + byteLength;
  }
  return body;
}

/** @throws ConnectionError when they are no names or too many */
export function decodeLmNames(body: Uint8Array): string[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const names: string[] = [];
  for (let offset = 0; offset < bytes.byteLength;) {
    const end = offset + 2 <= bytes.byteLength ? offset + 2 + bytes.readUInt16LE(offset) : Infinity;
    if (end > bytes.byteLength || names.length === LM_MAX_NAMES) {
      throw new ConnectionError("protocol", "The peer sent a damaged or too long list of names");
    }
    names.push(bytes.toString("utf8", offset + 2, end));
    offset = end;
  }
  return names;
}

function numbersOf(nonce: Uint8Array): LmShape {
  const view = new DataView(nonce.buffer, nonce.byteOffset, nonce.byteLength);
  return [0, 4, 8, 12].map((offset) => view.getInt32(offset, true)) as unknown as LmShape;
}

function bytesOf(shape: LmShape): Uint8Array {
  const bytes = Buffer.alloc(16);
  shape.forEach((number, index) => bytes.writeInt32LE(number, 4 * index));
  return bytes;
}
