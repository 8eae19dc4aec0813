import type { Clock } from "../core/index.ts";
import { MiB } from "../core/index.ts";
import type { Connection, LmForm, LmReply, LmRequest } from "../protocol/index.ts";
import {
  LM_FORM_BYTES,
  decodeLmRequest,
  encodeLmReply,
  lmFormOf,
  lmRequestBytes,
} from "../protocol/index.ts";

/** A peer must bring or take this much within the stall timeout and the time it takes at MIN_BYTES_PER_MS. */
const STEP_BYTES: number = 8 * MiB;
/** 1 MB/s: slower than any network that is worth a cache. */
const MIN_BYTES_PER_MS = 1000;
/** TLS encrypts what it is given at once and holds all of it. */
const TLS_STEP_BYTES: number = MiB;

/** Where the bytes of values that nobody keeps go. */
const discarded = Buffer.allocUnsafeSlow(MiB);

export interface FramesOptions {
  readonly isEncrypted: boolean;
  readonly stallTimeoutMs: number;
  readonly clock: Clock;
}

/** Requests and replies on one connection, and the time each of their parts may take. */
export class Frames {
  readonly #connection: Connection;
  readonly #options: FramesOptions;
  readonly #head: Buffer = Buffer.alloc(lmRequestBytes("current"));
  /** When the peer is late. Infinity while we keep it waiting; undefined between two requests. */
  #dueMs: number | undefined;
  #numBytesBefore = 0;

  constructor(connection: Connection, options: FramesOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** Between two requests, with nothing of the next one here. */
  get isIdle(): boolean {
    return this.#dueMs === undefined && this.#connection.numBytesReceived === this.#numBytesBefore;
  }

  /**
   * To be called now and then: a request that has begun to come in has no due time before.
   *
   * @returns whether the peer has stopped in the middle of a frame
   */
  isStalled(): boolean {
    if (this.isIdle) return false;
    if (this.#dueMs === undefined) this.#expect(lmRequestBytes("current"));
    return this.#options.clock.nowMs() > this.#dueMs!;
  }

  /** After a time in which this process itself stood still. */
  postpone(ms: number): void {
    if (this.#dueMs !== undefined) this.#dueMs += ms;
  }

  /** Waits for the next request for as long as it takes. */
  async nextRequest(): Promise<{ readonly request: LmRequest; readonly form: LmForm }> {
    this.#dueMs = undefined;
    this.#numBytesBefore = this.#connection.numBytesReceived - this.#connection.numUnreadBytes;
    const head = this.#head;
    await this.#connection.readInto(head.subarray(0, LM_FORM_BYTES));
    const form = lmFormOf(head);
    const whole = head.subarray(0, lmRequestBytes(form));
    await this.#receive(whole.subarray(LM_FORM_BYTES));
    return { request: decodeLmRequest(whole, form), form };
  }

  /** Receives a body. */
  async receive(target: Uint8Array): Promise<void> {
    for (let offset = 0; offset < target.byteLength; offset += STEP_BYTES) {
      await this.#receive(target.subarray(offset, offset + STEP_BYTES));
    }
  }

  /** Receives a body that nobody wants, so that the next request is found behind it. */
  async discard(byteLength: number): Promise<void> {
    for (let rest = byteLength; rest > 0; rest -= discarded.byteLength) {
      await this.#receive(discarded.subarray(0, rest));
    }
  }

  /** Resolves when the kernel has the whole body: its memory may be used again. */
  async send(reply: LmReply, form: LmForm, body: Uint8Array = new Uint8Array(0)): Promise<void> {
    const stepBytes = this.#options.isEncrypted ? TLS_STEP_BYTES : STEP_BYTES;
    // Clients expect the head in one piece; with the first bytes of the body it is.
    let parts = [encodeLmReply(reply, form), body.subarray(0, stepBytes)];
    for (let offset = stepBytes; ; offset += stepBytes) {
      this.#expect(stepBytes);
      await this.#connection.write(parts);
      this.#dueMs = Infinity;
      if (offset >= body.byteLength) return;
      parts = [body.subarray(offset, offset + stepBytes)];
    }
  }

  async #receive(target: Uint8Array): Promise<void> {
    if (target.byteLength === 0) return;
    this.#expect(target.byteLength);
    await this.#connection.readInto(target);
    this.#dueMs = Infinity;
  }

  #expect(numBytes: number): void {
    const { clock, stallTimeoutMs } = this.#options;
    this.#dueMs = clock.nowMs() + stallTimeoutMs + numBytes / MIN_BYTES_PER_MS;
  }
}
