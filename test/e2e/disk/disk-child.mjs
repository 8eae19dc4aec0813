// A process with a disk tier, to be killed or to share a directory with others. Arguments: the URL of
// the built package, what to do, the directory, the bound in bytes, a seed. Reports on stdout.
import { createHash } from "node:crypto";

const [, , dist, verb, directory, maxSizeBytes, seed] = process.argv;
const { MappedMemory, MemoryPool } = await import(new URL("memory/index.js", dist));
const { DiskTier, chunkHeaderBytes, createPolicy, isPayloadIntact, readChunkHeader, sealChunk } =
  await import(new URL("tiers/index.js", dist));

const NUM_PROMPTS = 24;
const CHUNKS_PER_PROMPT = 6;
const HEADER_BYTES = chunkHeaderBytes(0);
/** Large enough to be in the middle of, and not all of one size. */
const payloadBytes = (index) => (index === CHUNKS_PER_PROMPT - 1 ? 100_000 : 300_000);
const SLAB_BYTES = 304 * 1024;

const hash = (text) => createHash("sha256").update(text).digest();
const keysOf = (prompt) =>
  Array.from({ length: CHUNKS_PER_PROMPT }, (_, index) =>
    hash(`${prompt}/${index}`).toString("hex", 0, 16),
  );

function payloadOf(key, numBytes) {
  return Buffer.alloc(numBytes, hash(key));
}

const memory = new MappedMemory(48 * SLAB_BYTES);
const pool = new MemoryPool(memory, SLAB_BYTES);
const tier = await DiskTier.open({
  paths: [directory],
  maxSizeBytes: Number(maxSizeBytes),
  maxInFlightBytes: 12 * SLAB_BYTES,
  modelName: "crash/test",
  useOdirect: Number(seed) % 2 === 1,
  policy: createPolicy("LRU"),
  pool,
});

async function store(prompt) {
  const keys = keysOf(prompt);
  const chunks = [];
  for (const [index, key] of keys.entries()) {
    const buffer = pool.tryAllocate(HEADER_BYTES + payloadBytes(index));
    if (buffer === undefined) break;
    buffer.bytes.set(payloadOf(key, payloadBytes(index)), HEADER_BYTES);
    const place = { key, parent: keys[index - 1], fingerprint: "0".repeat(32) };
    sealChunk(buffer.bytes, {
      kind: "tokens",
      ...place,
      start: 0,
      end: 0,
      label: new Uint8Array(),
    });
    chunks.push({ key, parent: keys[index - 1], buffer });
  }
  await tier.store(chunks);
  for (const { buffer } of chunks) buffer[Symbol.dispose]();
}

const report = { numLoaded: 0, numTorn: 0, numWrong: 0 };

/** Loads what is there. A wrong chunk is one whose checksum is right and whose bytes are not. */
async function load(keys) {
  const lease = await tier.acquire(keys);
  let index = 0;
  for await (const buffer of lease.load(0, new AbortController().signal)) {
    const key = lease.keys[index++];
    const header = readChunkHeader(buffer.bytes);
    if (!isPayloadIntact(buffer.bytes, header)) report.numTorn++;
    else {
      const payload = payloadOf(key, header.payloadBytes);
      const isRight = header.key === key && payload.equals(buffer.bytes.subarray(HEADER_BYTES));
      report[isRight ? "numLoaded" : "numWrong"]++;
    }
    buffer[Symbol.dispose]();
  }
  lease[Symbol.dispose]();
}

let state = hash(`seed ${seed}`);
function random(bound) {
  state = hash(state);
  return state.readUInt32LE(0) % bound;
}

process.stdout.write("ready\n");
if (verb === "verify") {
  await tier.adopted;
  // The first write waits until what is there can be evicted: so has everything been looked at.
  await store("last");
  await tier.flush();
  await tier.remove(keysOf("last"));
  for (let prompt = 0; prompt < NUM_PROMPTS; prompt++) {
    for (const key of keysOf(prompt)) await load([key]);
  }
} else {
  const numRounds = verb === "share" ? 150 : Number.POSITIVE_INFINITY;
  for (let round = 0; round < numRounds; round++) {
    await store(random(NUM_PROMPTS));
    if (random(2) === 0) await load(keysOf(random(NUM_PROMPTS)));
    await new Promise(setImmediate);
  }
  await tier.flush();
}
await tier[Symbol.asyncDispose]();
process.stdout.write(`${JSON.stringify({ ...report, ...tier.stats() })}\n`);
