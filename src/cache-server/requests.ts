import type { ClaimTable } from "../core/index.ts";
import type { KvBuffer } from "../memory/index.ts";
import {
  ConnectionError,
  LM_CODES,
  LM_COMMANDS,
  LM_EXTENSIONS,
  LM_KEY_BYTES,
  LM_MAX_NAMES,
  LM_MAX_NAMES_BYTES,
  type LmForm,
  type LmReply,
  type LmRequest,
  decodeLmNames,
  encodeLmNames,
  lmBytesType,
  lmReplyWithCount,
  lmReplyWithout,
} from "../protocol/index.ts";
import type { Frames } from "./frames.ts";
import type { Intake } from "./intake.ts";
import type { DropReason, Traffic } from "./traffic.ts";
import type { ValueStore } from "./value-store.ts";
import { VALUE_HEADER_BYTES } from "./value.ts";

const NEW_LINE = "\n";
/** Whoever claims renews in time, or is gone. */
const MAX_CLAIM_MS = 600_000;

export interface RequestsOptions {
  readonly store: ValueStore;
  readonly intake: Intake;
  readonly traffic: Traffic;
  readonly claims: ClaimTable;
}

/** What the commands do. */
export class Requests {
  readonly #store: ValueStore;
  readonly #intake: Intake;
  readonly #traffic: Traffic;
  readonly #claims: ClaimTable;

  constructor(options: RequestsOptions) {
    this.#store = options.store;
    this.#intake = options.intake;
    this.#traffic = options.traffic;
    this.#claims = options.claims;
  }

  /**
   * Answers one request of a client that may ask, its body included.
   *
   * @returns whether there may be a next one
   */
  async answer(request: LmRequest, form: LmForm, frames: Frames): Promise<boolean> {
    const { numRequests } = this.#traffic;
    switch (request.command) {
      case LM_COMMANDS.put:
        numRequests.put++;
        await this.#put(request, frames);
        return true;
      case LM_COMMANDS.get:
        numRequests.get++;
        await this.#get(request, form, frames);
        return true;
      case LM_COMMANDS.exist:
        numRequests.exist++;
        await frames.send(successIf((await this.#store.numLeading([request.key])) > 0), form);
        return true;
      case LM_COMMANDS.health:
        numRequests.health++;
        await frames.send(successIf(true), form);
        return true;
      case LM_COMMANDS.list:
        numRequests.list++;
        await this.#list(request, form, frames);
        return true;
      case LM_EXTENSIONS.lookup:
        numRequests.lookup++;
        await this.#countNames(request, form, frames, (names) => this.#store.numLeading(names));
        return true;
      case LM_EXTENSIONS.remove:
        numRequests.remove++;
        await this.#countNames(request, form, frames, (names) => this.#store.remove(names));
        return true;
      case LM_EXTENSIONS.claim:
        numRequests.claim++;
        await this.#countNames(request, form, frames, (names) => this.#claim(request, names));
        return true;
      case LM_EXTENSIONS.release:
        numRequests.claim++;
        await this.#countNames(request, form, frames, (names) =>
          this.#claims.release(names, request.key),
        );
        return true;
      case LM_EXTENSIONS.names:
        numRequests.list++;
        await this.#names(request, form, frames);
        return true;
      case LM_EXTENSIONS.offer:
        numRequests.offer++;
        await frames.send(lmReplyWithout(await this.#codeForOffer(request)), form);
        return true;
      case LM_EXTENSIONS.store: {
        numRequests.store++;
        const isStored = await this.#put(request, frames);
        await frames.send(lmReplyWithout(isStored ? LM_CODES.success : LM_CODES.noRoom), form);
        return true;
      }
      default:
        numRequests.other++;
        throw new ConnectionError("protocol", `The peer sent command ${request.command}`);
    }
  }

  /** Receives the body, whatever becomes of it. @returns whether it is stored */
  async #put(request: LmRequest, frames: Frames): Promise<boolean> {
    const { byteLength, key } = request;
    if (byteLength > this.#store.maxValueBytes) return this.#drop("too_large", request, frames);
    using turn = await this.#intake.enter(VALUE_HEADER_BYTES + byteLength);
    const buffer = turn && this.#store.tryAllocate(byteLength);
    if (buffer === undefined) return this.#drop("no_room", request, frames);
    using received = buffer;
    await frames.receive(received.bytes.subarray(VALUE_HEADER_BYTES));
    this.#traffic.receivedBytes += byteLength;
    const isStored = await this.#store.put(key, request, received);
    if (!isStored) this.#traffic.numDropped.no_room++;
    return isStored;
  }

  async #drop(reason: DropReason, { key, byteLength }: LmRequest, frames: Frames): Promise<false> {
    this.#traffic.numDropped[reason]++;
    await frames.discard(byteLength);
    // Nothing is better than the value that this one was to replace.
    await this.#store.remove([key]);
    return false;
  }

  async #get({ key }: LmRequest, form: LmForm, frames: Frames): Promise<void> {
    using value = await this.#store.get(key);
    if (value === undefined) {
      this.#traffic.numMisses++;
      return frames.send(successIf(false), form);
    }
    this.#traffic.numHits++;
    const { type, payload } = value;
    const { byteLength } = payload;
    const reply = { ...type, code: LM_CODES.success, byteLength, location: 0 };
    await frames.send(reply, form, payload);
    this.#traffic.sentBytes += byteLength;
  }

  /** One name a line, as the first servers did; the next page is behind the name in the key. */
  async #list({ key }: LmRequest, form: LmForm, frames: Frames): Promise<void> {
    const names = (await this.#page(key, LM_MAX_NAMES)).filter((name) => !name.includes(NEW_LINE));
    const body = Buffer.from(names.join(NEW_LINE));
    const { byteLength } = body;
    const type = lmBytesType(byteLength);
    await frames.send({ ...type, code: LM_CODES.success, byteLength, location: 0 }, form, body);
  }

  async #names({ key, shape }: LmRequest, form: LmForm, frames: Frames): Promise<void> {
    const names = await this.#page(key, Math.min(shape[0] > 0 ? shape[0] : Infinity, LM_MAX_NAMES));
    const body = encodeLmNames(names);
    await frames.send(lmReplyWithCount(names.length, body.byteLength), form, body);
  }

  #page(after: string, maxNames: number): Promise<string[]> {
    return this.#store.list(after === "" ? undefined : after, maxNames);
  }

  async #codeForOffer({ key, shape }: LmRequest): Promise<number> {
    if ((await this.#store.numLeading([key])) > 0) return LM_CODES.alreadyHeld;
    return shape[0] > this.#store.maxValueBytes ? LM_CODES.noRoom : LM_CODES.success;
  }

  #claim({ key: owner, shape }: LmRequest, names: readonly string[]): number {
    // What is no key of a value can have none, and would be kept for nothing.
    const isKey = (name: string): boolean => Buffer.byteLength(name) <= LM_KEY_BYTES;
    if (!names.every(isKey))
      throw new ConnectionError("protocol", "The peer claims what is no key");
    return this.#claims.claim(names, owner, Math.min(Math.max(shape[0], 0), MAX_CLAIM_MS));
  }

  /** Receives names, in memory of the pool like everything that clients send, and answers a number. */
  async #countNames(
    { byteLength }: LmRequest,
    form: LmForm,
    frames: Frames,
    count: (names: readonly string[]) => Promise<number> | number,
  ): Promise<void> {
    if (byteLength > LM_MAX_NAMES_BYTES) {
      throw new ConnectionError("protocol", `The peer sent ${byteLength} bytes of names`);
    }
    const buffer = this.#store.pool.tryAllocate(byteLength);
    const names = await receiveNames(buffer, byteLength, frames);
    await frames.send(lmReplyWithCount(names.length === 0 ? 0 : await count(names)), form);
  }
}

/** None when there is no memory for them. */
async function receiveNames(
  buffer: KvBuffer | undefined,
  byteLength: number,
  frames: Frames,
): Promise<string[]> {
  if (buffer === undefined) {
    await frames.discard(byteLength);
    return [];
  }
  using received = buffer;
  await frames.receive(received.bytes);
  return decodeLmNames(received.bytes);
}

function successIf(isTrue: boolean): LmReply {
  return lmReplyWithout(isTrue ? LM_CODES.success : LM_CODES.fail);
}
