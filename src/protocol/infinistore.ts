import { ConnectionError } from "./connection-error.ts";
import { FlatTable, encodeFlatTable } from "./flatbuffer.ts";

/**
 * InfiniStore over TCP: requests and replies in turn, little-endian. A request is
 * ```
 * u32 magic | u8 operation | u32 body | body
 * ```
 * | request | body                           | reply                                             |
 * |---------|--------------------------------|---------------------------------------------------|
 * | put     | table, then the value          | i32 code: 200 behind the value, 507 before it     |
 * | get     | table                          | i32 200, u32 length, value; a miss is i32 404     |
 * | exist   | the key, bare                  | i32 200, i32 0 if there and 1 if not              |
 * | match   | table of keys                  | i32 200, i32 index of the last key there, or -1   |
 * | remove  | table of keys                  | i32 200, i32 how many there were                  |
 */
export const INFINISTORE_HEAD_BYTES = 9;

const MAGIC = 0xdeadbeef;
const PUT = 0x50;
const GET = 0x47;

const OPERATION_BYTE = {
  exist: 0x43,
  match: 0x4d,
  remove: 0x58,
  payload: 0x4c,
} as const;

export const InfinistoreCode = {
  finish: 200,
  invalidRequest: 400,
  keyNotFound: 404,
  internalError: 500,
  outOfMemory: 507,
} as const;

export type InfinistoreRequest =
  | { readonly kind: "put"; readonly key: string; readonly valueBytes: number }
  | { readonly kind: "get"; readonly key: string }
  | { readonly kind: "exist"; readonly key: string }
  | { readonly kind: "match"; readonly keys: readonly string[] }
  | { readonly kind: "remove"; readonly keys: readonly string[] };

export function encodeInfinistoreRequest(request: InfinistoreRequest): Buffer {
  switch (request.kind) {
    case "put":
      return frame("payload", payloadTable(request.key, request.valueBytes, PUT));
    case "get":
      return frame("payload", payloadTable(request.key, 0, GET));
    case "exist":
      return frame("exist", Buffer.from(request.key));
    case "match":
    case "remove":
      return frame(request.kind, encodeFlatTable([{ texts: request.keys }]));
  }
}

/** Codes and numbers are the same four bytes in every reply. */
export function encodeInfinistoreReply(...words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * words.length);
  for (const [index, word] of words.entries()) bytes.writeInt32LE(word, 4 * index);
  return bytes;
}

export interface InfinistoreHead {
  /** Undefined: no operation of the TCP mode. */
  readonly operation: keyof typeof OPERATION_BYTE | undefined;
  readonly bodyBytes: number;
}

export function decodeInfinistoreHead(bytes: Buffer): InfinistoreHead {
  if (bytes.readUInt32LE(0) !== MAGIC) {
    const start = bytes.toString("hex", 0, 4);
    throw new ConnectionError("protocol", `Not a request of InfiniStore: it begins with ${start}`);
  }
  const byte = bytes.readUInt8(4);
  return {
    operation: OPERATIONS.find((operation) => OPERATION_BYTE[operation] === byte),
    bodyBytes: bytes.readUInt32LE(5),
  };
}

/** @returns undefined where the body asks for nothing that there is */
export function decodeInfinistoreBody(
  operation: keyof typeof OPERATION_BYTE,
  body: Buffer,
): InfinistoreRequest | undefined {
  switch (operation) {
    case "exist":
      return { kind: "exist", key: body.toString() };
    case "match":
    case "remove":
      return { kind: operation, keys: new FlatTable(body).texts(0) };
    case "payload": {
      const table = new FlatTable(body);
      const key = table.text(0);
      const valueBytes = table.int32(1);
      const inner = table.int8(2);
      if (inner === GET) return { kind: "get", key };
      return inner === PUT && valueBytes >= 0 ? { kind: "put", key, valueBytes } : undefined;
    }
  }
}

const OPERATIONS = Object.keys(OPERATION_BYTE) as (keyof typeof OPERATION_BYTE)[];

function payloadTable(key: string, valueBytes: number, operation: number): Buffer {
  return encodeFlatTable([{ text: key }, { int32: valueBytes }, { int8: operation }]);
}

function frame(operation: keyof typeof OPERATION_BYTE, body: Buffer): Buffer {
  const head = Buffer.alloc(INFINISTORE_HEAD_BYTES);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt8(OPERATION_BYTE[operation], 4);
  head.writeUInt32LE(body.length, 5);
  return Buffer.concat([head, body]);
}
