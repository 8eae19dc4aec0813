import { TierError } from "../../../src/core/index.ts";
import type { RemoteCall, RemoteStore } from "../../../src/remotes/index.ts";

type Verb = "lookup" | "get" | "put" | "remove";

/** Values in a map, and whatever trouble a test asks for. */
export class ScriptedStore implements RemoteStore {
  readonly address = "scripted://";
  readonly values = new Map<string, Uint8Array>();
  readonly calls: { readonly verb: Verb; readonly names: readonly string[] }[] = [];
  /** Called before each call is carried out. */
  before: (verb: Verb, call: RemoteCall) => Promise<void> = async () => {};
  numRunning: Record<Verb, number> = { lookup: 0, get: 0, put: 0, remove: 0 };
  maxRunning: Record<Verb, number> = { lookup: 0, get: 0, put: 0, remove: 0 };
  isClosed = false;

  numCalls(verb: Verb): number {
    return this.calls.filter((each) => each.verb === verb).length;
  }

  fail(code: TierError["code"]): void {
    this.before = async () => {
      throw new TierError(this.address, code, "It was asked to fail");
    };
  }

  /** Calls of a verb wait until the function that is returned is called, or to their end. */
  hang(verb: Verb): () => void {
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    this.before = async (each, { signal }) => {
      if (each !== verb) return;
      const aborted = new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      });
      await Promise.race([released, aborted]);
    };
    return release;
  }

  async lookup(names: readonly string[], call: RemoteCall): Promise<number> {
    return await this.#run("lookup", names, call, () => {
      const gap = names.findIndex((name) => !this.values.has(name));
      return gap < 0 ? names.length : gap;
    });
  }

  async get(
    name: string,
    allocate: (byteLength: number) => Uint8Array | undefined,
    call: RemoteCall,
  ): Promise<number | undefined> {
    return await this.#run("get", [name], call, () => {
      const value = this.values.get(name);
      const target = value && allocate(value.byteLength);
      target?.set(value!);
      return target && value!.byteLength;
    });
  }

  async put(name: string, value: Uint8Array, call: RemoteCall): Promise<boolean> {
    return await this.#run("put", [name], call, () => {
      this.values.set(name, Uint8Array.from(value));
      return true;
    });
  }

  async remove(names: readonly string[], call: RemoteCall): Promise<number> {
    return await this.#run("remove", names, call, () => {
      return names.filter((name) => this.values.delete(name)).length;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isClosed = true;
  }

  async #run<T>(verb: Verb, names: readonly string[], call: RemoteCall, work: () => T): Promise<T> {
    this.calls.push({ verb, names });
    this.maxRunning[verb] = Math.max(this.maxRunning[verb], ++this.numRunning[verb]);
    try {
      await this.before(verb, call);
      return work();
    } finally {
      this.numRunning[verb]--;
    }
  }
}
