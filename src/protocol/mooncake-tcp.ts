import { ConnectionError } from "./connection-error.ts";

/**
 * How Mooncake moves bytes over TCP, little-endian. A request is
 * ```
 * u64 size | u64 address | u8 operation | 7 unused
 * ```
 * and the bytes: behind it for a write, in return for a read. In the first version there is nothing else. In the
 * second, marked by the operation's highest bit, the peer also sends a status of eight bytes: before the bytes of a
 * read, and after it has applied a write.
 */
export const MOONCAKE_TRANSFER_HEAD_BYTES = 24;
export const MOONCAKE_STATUS_BYTES = 8;

const WRITE = 1;
const HAS_STATUS = 0x80;
const STATUS_MAGIC = 0x4d435456;

export interface MooncakeTransfer {
  readonly kind: "read" | "write";
  readonly address: bigint;
  readonly sizeBytes: bigint;
  readonly hasStatus: boolean;
}

export function encodeMooncakeTransfer(transfer: MooncakeTransfer): Buffer {
  const bytes = Buffer.alloc(MOONCAKE_TRANSFER_HEAD_BYTES);
  bytes.writeBigUInt64LE(transfer.sizeBytes, 0);
  bytes.writeBigUInt64LE(transfer.address, 8);
  bytes.writeUInt8(
    (transfer.kind === "write" ? WRITE : 0) | (transfer.hasStatus ? HAS_STATUS : 0),
    16,
  );
  return bytes;
}

export function decodeMooncakeTransfer(bytes: Buffer): MooncakeTransfer {
  const operation = bytes.readUInt8(16);
  return {
    sizeBytes: bytes.readBigUInt64LE(0),
    address: bytes.readBigUInt64LE(8),
    kind: (operation & ~HAS_STATUS) === WRITE ? "write" : "read",
    hasStatus: (operation & HAS_STATUS) !== 0,
  };
}

export type MooncakeStatus =
  | "done"
  /** The address is in no memory that the peer lends: it has restarted since. */
  | "rejected";

export function encodeMooncakeStatus(status: MooncakeStatus): Buffer {
  const bytes = Buffer.alloc(MOONCAKE_STATUS_BYTES);
  bytes.writeUInt32LE(status === "done" ? 0 : 1, 0);
  bytes.writeUInt32LE(STATUS_MAGIC, 4);
  return bytes;
}

export function decodeMooncakeStatus(bytes: Buffer): MooncakeStatus {
  if (bytes.readUInt32LE(4) !== STATUS_MAGIC) {
    const start = bytes.toString("hex", 0, 8);
    throw new ConnectionError("protocol", `Not a status of Mooncake: ${start}`);
  }
  return bytes.readUInt32LE(0) === 0 ? "done" : "rejected";
}
