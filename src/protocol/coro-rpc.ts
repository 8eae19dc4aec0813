import { ConnectionError } from "./connection-error.ts";
import { md5Head } from "./struct-pack.ts";

/**
 * Frames of coro_rpc, all little-endian. A request is
 * ```
 * u8 magic 21 | u8 version 0 | u8 serializer 0 | u8 type 0 | u32 sequence | u32 function | u32 body | u32 attachment
 * ```
 * and a reply
 * ```
 * u8 magic 21 | u8 version 0 | u8 error | u8 type 0 | u32 sequence | u32 body | u32 attachment
 * ```
 * with body and attachment, so many bytes each, behind it.
 */
export const CORO_RPC_REQUEST_HEAD_BYTES = 20;
export const CORO_RPC_REPLY_HEAD_BYTES = 16;

const MAGIC = 21;

/** What the frame itself reports; whatever a handler says is in the body. */
export const CoroRpcError = {
  none: 0,
  /** The arguments are of another type than the function's. */
  invalidArguments: 4,
  notRegistered: 11,
} as const;

export interface CoroRpcRequestHead {
  readonly sequence: number;
  readonly functionId: number;
  readonly bodyBytes: number;
}

export interface CoroRpcReplyHead {
  readonly sequence: number;
  readonly error: number;
  readonly bodyBytes: number;
}

/** A function is named by the first four bytes, big-endian, of its qualified name's MD5. */
export function coroRpcFunctionId(name: string): number {
  return md5Head(name);
}

export function encodeCoroRpcRequestHead(head: CoroRpcRequestHead): Buffer {
  const bytes = Buffer.alloc(CORO_RPC_REQUEST_HEAD_BYTES);
  bytes.writeUInt8(MAGIC, 0);
  bytes.writeUInt32LE(head.sequence, 4);
  bytes.writeUInt32LE(head.functionId, 8);
  bytes.writeUInt32LE(head.bodyBytes, 12);
  return bytes;
}

export function decodeCoroRpcRequestHead(bytes: Buffer): CoroRpcRequestHead {
  check(bytes, bytes.readUInt32LE(16));
  return {
    sequence: bytes.readUInt32LE(4),
    functionId: bytes.readUInt32LE(8),
    bodyBytes: bytes.readUInt32LE(12),
  };
}

export function encodeCoroRpcReplyHead(head: CoroRpcReplyHead): Buffer {
  const bytes = Buffer.alloc(CORO_RPC_REPLY_HEAD_BYTES);
  bytes.writeUInt8(MAGIC, 0);
  bytes.writeUInt8(head.error, 2);
  bytes.writeUInt32LE(head.sequence, 4);
  bytes.writeUInt32LE(head.bodyBytes, 8);
  return bytes;
}

export function decodeCoroRpcReplyHead(bytes: Buffer): CoroRpcReplyHead {
  check(bytes, bytes.readUInt32LE(12));
  return {
    error: bytes.readUInt8(2),
    sequence: bytes.readUInt32LE(4),
    bodyBytes: bytes.readUInt32LE(8),
  };
}

function check(bytes: Buffer, attachmentBytes: number): void {
  if (bytes.readUInt8(0) !== MAGIC || bytes.readUInt8(1) !== 0) {
    const start = bytes.toString("hex", 0, 4);
    throw new ConnectionError("protocol", `Not a frame of coro_rpc: it begins with ${start}`);
  }
  if (attachmentBytes > 0) {
    throw new ConnectionError(
      "protocol",
      "A frame of coro_rpc with an attachment that nobody asked for",
    );
  }
}
