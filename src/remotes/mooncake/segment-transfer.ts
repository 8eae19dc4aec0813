import {
  type Connection,
  ConnectionError,
  MOONCAKE_STATUS_BYTES,
  decodeMooncakeStatus,
  encodeMooncakeTransfer,
} from "../../protocol/index.ts";
import type { SegmentLocation } from "./segment-directory.ts";

/** What its owner does with connections; corrected when it turns out otherwise. */
export interface SegmentHabits {
  /** Closes behind each transfer. */
  isOneShot: boolean;
}

/** A connection to a segment's owner. One transfer at a time; where the owner closes behind each, one at all. */
export class SegmentConnection implements Disposable {
  readonly #connection: Connection;
  readonly #hasStatus: boolean;
  readonly #habits: SegmentHabits;
  #isSpent = false;

  constructor(connection: Connection, { hasStatus }: SegmentLocation, habits: SegmentHabits) {
    this.#connection = connection;
    this.#hasStatus = hasStatus;
    this.#habits = habits;
  }

  get isBroken(): boolean {
    return this.#isSpent || this.#connection.isBroken;
  }
  get numBytesReceived(): number {
    return this.#connection.numBytesReceived;
  }

  async read(address: bigint, target: Uint8Array): Promise<void> {
    this.#isSpent = this.#isOneShot();
    await this.#connection.write([this.#head("read", address, target.byteLength)]);
    if (this.#hasStatus) await this.#readStatus();
    await this.#connection.readInto(target);
  }

  /** Resolves when the owner has the bytes in its memory. */
  async write(address: bigint, value: Uint8Array): Promise<void> {
    this.#isSpent = this.#isOneShot();
    const head = this.#head("write", address, value.byteLength);
    if (this.#hasStatus) {
      // A refusal comes while bytes are still on their way.
      await Promise.all([this.#connection.write([head, value]), this.#readStatus()]);
      return;
    }
    // No status; but requests are served in turn, so that an answer to the next one tells of this one's end.
    const last = this.#head("read", address + BigInt(value.byteLength) - 1n, 1);
    const answer = Buffer.alloc(1);
    if (!this.#isSpent) {
      await this.#connection.write([head, value, last]);
      await this.#connection.readInto(answer);
      return;
    }
    await this.#connection.write([head, value]);
    const timer = setTimeout(() => void this.#connection.write([last]).catch(() => {}), CLOSE_MS);
    try {
      if (await this.#answersBeforeClosing(answer)) this.#habits.isOneShot = false;
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  #head(kind: "read" | "write", address: bigint, byteLength: number): Buffer {
    return encodeMooncakeTransfer({
      kind,
      address,
      sizeBytes: BigInt(byteLength),
      hasStatus: this.#hasStatus,
    });
  }

  async #readStatus(): Promise<void> {
    const bytes = Buffer.alloc(MOONCAKE_STATUS_BYTES);
    await this.#connection.readInto(bytes);
    if (decodeMooncakeStatus(bytes) === "rejected") {
      throw new ConnectionError("unavailable", "The segment's owner no longer lends that memory");
    }
  }

  /** An owner closes behind the last byte it applied: any other end has a cause. */
  async #answersBeforeClosing(answer: Uint8Array): Promise<boolean> {
    try {
      await this.#connection.readInto(answer);
      return true;
    } catch (error) {
      const hasClosed = error instanceof ConnectionError && error.code === "unavailable";
      if (hasClosed && error.cause === undefined) return false;
      throw error;
    }
  }

  #isOneShot(): boolean {
    return this.#habits.isOneShot && !this.#hasStatus;
  }
}

/** An owner that has not closed by then is asked. Some of its release keep connections open. */
const CLOSE_MS = 1000;
