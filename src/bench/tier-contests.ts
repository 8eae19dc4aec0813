import type { KvBuffer, MemoryPool } from "../memory/index.ts";
import type { Chunk, Tier } from "../tiers/index.ts";
import type { Contest } from "./contest.ts";
import type { PlainFiles } from "./plain-files.ts";
import type { SampleChunk } from "./sample-chunks.ts";

/** Copies chunks out of the engine's memory into the pool and stores them, against copying alone. */
export function cpuPut(
  tier: Tier,
  pool: MemoryPool,
  samples: readonly SampleChunk[],
): Contest & Disposable {
  const targets = samples.map(({ bytes }) => pool.tryAllocate(bytes.byteLength)!);
  return {
    prepare: async () => void (await tier.clear()),
    async ours() {
      const chunks = toPool(samples, pool);
      await tier.store(chunks);
      release(chunks);
    },
    async plain() {
      samples.forEach(({ bytes }, index) => targets[index]!.bytes.set(bytes));
    },
    [Symbol.dispose]: () => targets.forEach((target) => target[Symbol.dispose]()),
  };
}

/** Takes chunks from the tier into the engine's memory, against copying alone. */
export function cpuGet(
  tier: Tier,
  pool: MemoryPool,
  samples: readonly SampleChunk[],
  signal: AbortSignal,
): Contest & Disposable {
  const sources = toPool(samples, pool);
  const engineMemory = samples.map(({ bytes }) => Buffer.alloc(bytes.byteLength, 1));
  return {
    async ours() {
      let index = 0;
      await loadAll(tier, samples, signal, ({ bytes }) => engineMemory[index++]!.set(bytes));
    },
    async plain() {
      sources.forEach(({ buffer }, index) => engineMemory[index]!.set(buffer.bytes));
    },
    [Symbol.dispose]: () => release(sources),
  };
}

/** Stores chunks that are in the pool and waits until they are on disk, against writing the same files. */
export function diskPut(
  tier: Tier,
  files: PlainFiles,
  pool: MemoryPool,
  samples: readonly SampleChunk[],
): Contest & Disposable {
  const chunks = toPool(samples, pool);
  const contents = chunks.map(({ buffer }) => buffer.bytes);
  return {
    async prepare() {
      await tier.clear();
      await tier.flush();
      await files.removeAll(contents.length);
    },
    async ours() {
      const numStored = await tier.store(chunks);
      await tier.flush();
      if (numStored < chunks.length) throw new Error(`${tier.name} took ${numStored} chunks only`);
    },
    plain: () => files.writeAll(contents),
    [Symbol.dispose]: () => release(chunks),
  };
}

/** Loads chunks from disk into the pool, against reading the same files there. */
export function diskGet(
  tier: Tier,
  files: PlainFiles,
  pool: MemoryPool,
  samples: readonly SampleChunk[],
  signal: AbortSignal,
): Contest {
  const fileBytes = samples[0]!.bytes.byteLength;
  return {
    ours: () => loadAll(tier, samples, signal, () => {}),
    plain: () => files.readAll(samples.length, fileBytes, pool),
  };
}

async function loadAll(
  tier: Tier,
  samples: readonly SampleChunk[],
  signal: AbortSignal,
  use: (buffer: KvBuffer) => void,
): Promise<void> {
  using lease = await tier.acquire(samples.map(({ key }) => key));
  let numLoaded = 0;
  for await (const loaded of lease.load(0, signal)) {
    using buffer = loaded;
    use(buffer);
    numLoaded++;
  }
  if (numLoaded < samples.length) throw new Error(`${tier.name} gave ${numLoaded} chunks only`);
}

function toPool(samples: readonly SampleChunk[], pool: MemoryPool): Chunk[] {
  return samples.map(({ key, parent, bytes }) => {
    const buffer = pool.tryAllocate(bytes.byteLength)!;
    buffer.bytes.set(bytes);
    return { key, parent, buffer };
  });
}

function release(chunks: readonly Chunk[]): void {
  for (const { buffer } of chunks) buffer[Symbol.dispose]();
}
