import { ConnectionError } from "./connection-error.ts";

/**
 * The heads of LMCache's `lm://` protocol, both ends, without sockets.
 *
 *     request  command length format dtype location shape[4]   int32, little-endian
 *              key                                              150 bytes, padded with spaces
 *     reply    code length format dtype shape[4] location       int32, little-endian
 *
 * A body of `length` bytes follows the head of a PUT and of a hit's reply. PUT has no reply. What is spoken beside that
 * by warmkv alone is in lm-extension.ts.
 */
export type LmForm =
  /** Since late 2025: 186 bytes there, 36 back. */
  | "current"
  /** Until mid 2025, without a location: 182 and 32 bytes. */
  | "2025"
  /** The first one: command, length, key; code, length. */
  | "2024";

export const LM_COMMANDS = { put: 1, get: 2, exist: 3, list: 4, health: 5 } as const;

/** HTTP's numbers. LMCache has 200 and 400 alone; the others come in replies to commands of our own. */
export const LM_CODES = {
  success: 200,
  alreadyHeld: 208,
  fail: 400,
  unauthorized: 401,
  noRoom: 507,
} as const;

export const LM_KEY_BYTES = 150;

/** What a value is to LMCache's engines; a store keeps it and gives it back with the value. */
export interface LmValueType {
  /** LMCache's MemoryFormat. */
  readonly format: number;
  readonly dtype: number;
  readonly shape: LmShape;
}
export type LmShape = readonly [number, number, number, number];

/** KV_2LTD and float16: what LMCache writes where there is no value. */
export const LM_NO_VALUE: LmValueType = { format: 1, dtype: 2, shape: [0, 0, 0, 0] };

/** BINARY_BUFFER and uint8: bytes that are nothing else. */
export function lmBytesType(byteLength: number): LmValueType {
  return { format: 5, dtype: 6, shape: [byteLength, 0, 0, 0] };
}

export interface LmRequest extends LmValueType {
  readonly command: number;
  /** Bytes that follow the head. */
  readonly byteLength: number;
  readonly location: number;
  readonly key: string;
}

export interface LmReply extends LmValueType {
  readonly code: number;
  /** Bytes that follow the head. */
  readonly byteLength: number;
  readonly location: number;
}

/** As many bytes of a request's head tell its form; every form has more. */
export const LM_FORM_BYTES = 36;

const REQUEST_BYTES: Record<LmForm, number> = { current: 186, "2025": 182, "2024": 158 };
const REPLY_BYTES: Record<LmForm, number> = { current: 36, "2025": 32, "2024": 8 };

const SPACE = 0x20;

export function lmRequestBytes(form: LmForm): number {
  return REQUEST_BYTES[form];
}
export function lmReplyBytes(form: LmForm): number {
  return REPLY_BYTES[form];
}

/**
 * Requests do not say which form they are of, but where one form has text the others have small numbers.
 *
 * @param head its first LM_FORM_BYTES bytes at least
 */
export function lmFormOf(head: Uint8Array): LmForm {
  // The key begins here in 2024; a format is a small number.
  if (head[8]! >= SPACE) return "2024";
  // Four characters of a key in 2025; a last dimension of half a thousand million otherwise.
  return head.subarray(32, 36).every((byte) => byte >= SPACE) ? "2025" : "current";
}

/**
 * @param request `key` of at most LM_KEY_BYTES bytes
 */
export function encodeLmRequest(request: LmRequest, form: LmForm = "current"): Buffer {
  const { command, byteLength, format, dtype, location, shape, key } = request;
  const numbers = {
    current: [command, byteLength, format, dtype, location, ...shape],
    "2025": [command, byteLength, format, dtype, ...shape],
    "2024": [command, byteLength],
  }[form];
  const head = Buffer.alloc(REQUEST_BYTES[form], SPACE);
  writeNumbers(head, numbers);
  if (Buffer.byteLength(key) > LM_KEY_BYTES) {
    throw new RangeError(`Cannot send the key "${key}": longer than ${LM_KEY_BYTES} bytes`);
  }
  head.write(key, 4 * numbers.length);
  return head;
}

/**
 * @param head lmRequestBytes(form) bytes
 * @throws ConnectionError when they are no request
 */
export function decodeLmRequest(head: Uint8Array, form: LmForm = "current"): LmRequest {
  const numNumbers = (REQUEST_BYTES[form] - LM_KEY_BYTES) / 4;
  const numbers = readNumbers(head, numNumbers);
  const [command = 0, byteLength = 0, format = 1, dtype = 2] = numbers;
  const location = form === "current" ? numbers[4]! : 0;
  const shape = form === "2024" ? LM_NO_VALUE.shape : shapeOf(numbers.slice(-4));
  assertLength(byteLength);
  const key = keyOf(head.subarray(4 * numNumbers));
  return { command, byteLength, format, dtype, location, shape, key };
}

export function encodeLmReply(reply: LmReply, form: LmForm = "current"): Buffer {
  const { code, byteLength, format, dtype, shape, location } = reply;
  const head = Buffer.alloc(REPLY_BYTES[form]);
  const numbers = [code, byteLength, format, dtype, ...shape, location];
  writeNumbers(head, numbers.slice(0, head.byteLength / 4));
  return head;
}

/** A reply that no body follows: a miss, what EXIST and HEALTH are answered. */
export function lmReplyWithout(code: number): LmReply {
  return { ...LM_NO_VALUE, code, byteLength: 0, location: 0 };
}

/**
 * @param head lmReplyBytes(form) bytes
 * @throws ConnectionError when they are no reply
 */
export function decodeLmReply(head: Uint8Array, form: LmForm = "current"): LmReply {
  const numbers = readNumbers(head, REPLY_BYTES[form] / 4);
  const [code = 0, byteLength = 0, format = 1, dtype = 2] = numbers;
  assertLength(byteLength);
  if (!KNOWN_CODES.has(code)) {
    throw new ConnectionError("protocol", `The peer answered code ${code}: is it a cache server?`);
  }
  const shape = form === "2024" ? LM_NO_VALUE.shape : shapeOf(numbers.slice(4, 8));
  return { code, byteLength, format, dtype, shape, location: numbers[8] ?? 0 };
}

const KNOWN_CODES: ReadonlySet<number> = new Set(Object.values(LM_CODES));

function assertLength(byteLength: number): void {
  if (byteLength >= 0) return;
  throw new ConnectionError("protocol", `The peer announced ${byteLength} bytes`);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function keyOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes).trim();
  } catch (error) {
    throw new ConnectionError("protocol", "The peer sent a key that is not UTF-8", {
      cause: error,
    });
  }
}

function shapeOf(numbers: readonly number[]): LmShape {
  return [numbers[0]!, numbers[1]!, numbers[2]!, numbers[3]!];
}

function writeNumbers(head: Buffer, numbers: readonly number[]): void {
  numbers.forEach((number, index) => head.writeInt32LE(number, 4 * index));
}

function readNumbers(head: Uint8Array, count: number): number[] {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  return Array.from({ length: count }, (_, index) => view.getInt32(4 * index, true));
}
