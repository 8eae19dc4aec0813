import { Connection, ConnectionError } from "../../protocol/index.ts";

/** Where the bytes of a segment are had. */
export interface SegmentLocation {
  readonly host: string;
  readonly port: number;
  /** The peer says when a write is applied. */
  readonly hasStatus: boolean;
}

export interface SegmentDirectory {
  /** @throws ConnectionError where there is no such segment, or none over TCP */
  locate(segment: string, signal: AbortSignal): Promise<SegmentLocation>;
}

const MAX_METADATA_BYTES = 16 * 1024 * 1024;

/** The metadata server: two entries for each segment. */
export class HttpSegmentDirectory implements SegmentDirectory {
  readonly #url: string;
  readonly #timeoutMs: number;

  constructor(url: string, timeoutMs: number) {
    this.#url = url;
    this.#timeoutMs = timeoutMs;
  }

  async locate(segment: string, signal: AbortSignal): Promise<SegmentLocation> {
    const [description, owner] = await Promise.all([
      this.#get(`mooncake/ram/${segment}`, signal),
      this.#get(`mooncake/rpc_meta/${segment}`, signal),
    ]);
    return locationOf(segment, description, owner["ip_or_host_name"]);
  }

  async #get(key: string, signal: AbortSignal): Promise<Description> {
    const url = new URL(this.#url);
    url.searchParams.set("key", key);
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    try {
      const response = await fetch(url, { signal: AbortSignal.any([signal, timeout]) });
      if (!response.ok) {
        await response.body?.cancel();
        throw new ConnectionError(
          "unavailable",
          `The metadata server has no "${key}": status ${response.status}`,
        );
      }
      return parseDescription(await readText(response));
    } catch (error) {
      if (error instanceof ConnectionError || signal.aborted) throw error;
      const [code, what] = timeout.aborted
        ? (["timeout", "was silent"] as const)
        : (["unavailable", "cannot be reached"] as const);
      throw new ConnectionError(code, `The metadata server ${what}`, { cause: error });
    }
  }
}

/** No server: a segment's name is its owner's address, who describes itself. A length of eight bytes, a type, JSON. */
export class PeerSegmentDirectory implements SegmentDirectory {
  readonly #timeoutMs: number;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  async locate(segment: string, signal: AbortSignal): Promise<SegmentLocation> {
    const { hostname, port } = new URL(`tcp://${segment}`);
    const host = hostname.replace(/^\[|\]$/g, "");
    const timeoutMs = this.#timeoutMs;
    using connection = await Connection.connect({ host, port: Number(port), timeoutMs, signal });
    const onAbort = (): void => connection[Symbol.dispose]();
    signal.addEventListener("abort", onAbort);
    try {
      await connection.write([PEER_REQUEST]);
      const head = Buffer.alloc(9);
      await connection.readInto(head);
      const byteLength = head.readBigUInt64LE(0) - 1n;
      if (head.readUInt8(8) !== PEER_METADATA || byteLength > MAX_METADATA_BYTES) {
        throw new ConnectionError("protocol", `"${segment}" does not describe itself`);
      }
      const body = Buffer.alloc(Number(byteLength));
      await connection.readInto(body);
      return locationOf(segment, parseDescription(body.toString()), host);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}

const PEER_METADATA = 1;
/** Of ourselves there is nothing to say. */
const PEER_REQUEST = Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, PEER_METADATA, 0x7b, 0x7d]);

type Description = Readonly<Record<string, unknown>>;

function locationOf(segment: string, description: Description, host: unknown): SegmentLocation {
  const { protocol, tcp_data_port: port, tcp_proto_version: version } = description;
  const protocols = Array.isArray(protocol) ? protocol : [protocol];
  if (!protocols.includes("tcp")) {
    throw new ConnectionError(
      "protocol",
      `"${segment}" lends its memory over ${protocols.join(", ")}: wanted tcp`,
    );
  }
  if (typeof host !== "string" || typeof port !== "number" || !(port > 0 && port < 65_536)) {
    throw new ConnectionError("protocol", `"${segment}" is described without its address`);
  }
  return { host, port, hasStatus: typeof version === "number" && version >= 2 };
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let numBytes = 0;
  for await (const chunk of response.body ?? []) {
    const bytes = chunk as Uint8Array;
    numBytes += bytes.byteLength;
    if (numBytes > MAX_METADATA_BYTES) {
      throw new ConnectionError("protocol", "A description of more than 16 MiB");
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString();
}

function parseDescription(text: string): Description {
  try {
    const description: unknown = JSON.parse(text);
    if (typeof description === "object" && description !== null) return description as Description;
  } catch {
    // Said below.
  }
  throw new ConnectionError("protocol", "A segment's description that is no JSON object");
}
