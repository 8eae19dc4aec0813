/** The payload of one server-sent event, and when its last byte came. */
export interface TimedEvent {
  readonly data: string;
  readonly atMs: number;
}

const DATA = "data:";

/**
 * The bytes of an event stream with their times. They are looked at when the stream is over: a client that parses
 * while it measures takes the processor away from what it measures.
 */
export class EventLog {
  readonly #pieces: { readonly bytes: Uint8Array; readonly atMs: number }[] = [];
  #numBytes = 0;

  get numBytes(): number {
    return this.#numBytes;
  }

  add(bytes: Uint8Array, atMs: number): void {
    this.#pieces.push({ bytes, atMs });
    this.#numBytes += bytes.length;
  }

  text(): string {
    return Buffer.concat(this.#pieces.map(({ bytes }) => bytes)).toString("utf8");
  }

  /** Each `data:` line, without the last one of OpenAI's streams, `[DONE]`. */
  events(): TimedEvent[] {
    const events: TimedEvent[] = [];
    const decoder = new TextDecoder();
    let rest = "";
    for (const { bytes, atMs } of this.#pieces) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (!line.startsWith(DATA)) continue;
        const data = line.slice(DATA.length).trim();
        if (data !== "[DONE]") events.push({ data, atMs });
      }
    }
    return events;
  }
}
