import type { ChunkKey } from "../../core/index.ts";
import { OrderedPolicy } from "./ordered-policy.ts";
import { type ChunkRecord, ReuseModel } from "./reuse-model.ts";

/**
 * As many chunks that went are remembered as are here, but at least so many: a small cache has to
 * remember for long, since most of its chunks come back long after they went.
 */
const MIN_GHOSTS = 4096;
/**
 * Records looked after at each use of a chunk: few enough to cost little, and all get their turn
 * soon.
 */
const NUM_LOOKED_AFTER = 8;
/** The model is updated each time that a part of the cache was used. */
const UPDATES_PER_CACHE = 4;
const MIN_USES_PER_UPDATE = 256;
/** What was seen this many caches ago counts half: traffic changes. */
const CACHES_PER_DECAY = 16;
const MIN_USES_PER_DECAY = 2 ** 17;

/**
 * Gives up the chunk from which the fewest hits are to be expected for the room it takes, as
 * learned from the traffic itself (see ReuseModel), and admits no chunk that would be the next to
 * go. So it behaves like LRU when the cache holds all that is used again, and like an admission
 * filter when it holds little of it.
 *
 * The expectation changes while a chunk waits. Two hands go round the resident and the remembered
 * chunks and take a few of them up to date at each use, so that each call stays O(log n).
 */
export class AdaptivePolicy extends OrderedPolicy {
  readonly name = "ADAPTIVE";
  readonly #model = new ReuseModel();
  /** By slot. */
  readonly #records: (ChunkRecord | undefined)[] = [];
  readonly #worths: number[] = [];
  readonly #ghosts = new Map<ChunkKey, ChunkRecord>();
  /**
   * Stands at the oldest: all before it were taken out. A new iterator would step over each of
   * them, at each call.
   */
  readonly #oldestGhost: Iterator<[ChunkKey, ChunkRecord]> = this.#ghosts.entries();
  #slotHand = 0;
  #ghostHand: Iterator<ChunkRecord> = this.#ghosts.values();
  #now = 0;
  #lastUpdate = 0;
  #lastDecay = 0;

  protected override comesBefore(a: number, b: number): boolean {
    const byWorth = this.#worths[a]! - this.#worths[b]!;
    return byWorth < 0 || (byWorth === 0 && this.#records[a]!.lastUse < this.#records[b]!.lastUse);
  }

  protected override onAdd(slot: number): void {
    this.#tick();
    const key = this.tree.keyOf(slot);
    const parentSlot = this.tree.parentOf(slot);
    const parent = parentSlot === undefined ? undefined : this.#records[parentSlot];
    const record = this.#takeGhost(key) ?? newRecord(this.#now, parent);
    while (this.#records.length <= slot) this.#records.push(undefined);
    this.#records[slot] = record;
    this.#worths[slot] = this.#model.worth(record, this.#now);
    if (parent?.isPromptEnd) {
      this.#model.observe(parent, this.#now);
      parent.isPromptEnd = false;
    }
    if (parent) parent.hadChild = true;
  }

  protected override onTouch(slot: number): void {
    this.#tick();
    const record = this.#records[slot]!;
    this.#use(record);
    this.#worths[slot] = this.#model.worth(record, this.#now);
  }

  protected override onPromptEnd(slot: number): void {
    const record = this.#records[slot]!;
    if (record.hadChild) return;
    this.#model.observe(record, this.#now);
    record.isPromptEnd = true;
    this.#weigh(slot, record);
  }

  protected override onRemove(slot: number): void {
    this.#remember(this.tree.keyOf(slot), this.#records[slot]!);
    this.#records[slot] = undefined;
  }

  admits(key: ChunkKey, parent: ChunkKey | undefined): boolean {
    const first = this.firstLeaf(() => false);
    if (first === undefined) return true;
    const ghost = this.#ghosts.get(key);
    const parentSlot = parent === undefined ? undefined : this.tree.slotOf(parent);
    const parentRecord = parentSlot === undefined ? undefined : this.#records[parentSlot];
    const numUses = ghost ? ghost.numUses + 1 : newRecord(this.#now, parentRecord).numUses;
    const least = this.#model.worth(this.#records[first]!, this.#now);
    if (this.#model.worthOfNew(numUses) >= least) return true;
    this.#tick();
    this.#remember(key, this.#takeGhost(key) ?? newRecord(this.#now, parentRecord));
    if (parentRecord) parentRecord.hadChild = true;
    return false;
  }

  #use(record: ChunkRecord): void {
    this.#model.observeReuse(record, this.#now);
    record.numUses++;
    record.isPromptEnd = false;
    record.lastUse = this.#now;
  }

  /** The record of a chunk that is seen again. */
  #takeGhost(key: ChunkKey): ChunkRecord | undefined {
    const record = this.#ghosts.get(key);
    if (record === undefined) return undefined;
    this.#ghosts.delete(key);
    this.#use(record);
    return record;
  }

  #remember(key: ChunkKey, record: ChunkRecord): void {
    this.#ghosts.set(key, record);
    const maxGhosts = Math.max(MIN_GHOSTS, this.size);
    while (this.#ghosts.size > maxGhosts) {
      const [oldest, old] = this.#oldestGhost.next().value as [ChunkKey, ChunkRecord];
      this.#model.observe(old, this.#now);
      this.#ghosts.delete(oldest);
    }
  }

  #tick(): void {
    this.#now++;
    for (let count = 0; count < NUM_LOOKED_AFTER; count++) {
      this.#lookAfterNextSlot();
      this.#lookAfterNextGhost();
    }
    const usesPerUpdate = Math.max(MIN_USES_PER_UPDATE, this.size / UPDATES_PER_CACHE);
    if (this.#now - this.#lastUpdate >= usesPerUpdate) {
      this.#lastUpdate = this.#now;
      this.#model.update();
    }
    if (this.#now - this.#lastDecay >= Math.max(MIN_USES_PER_DECAY, CACHES_PER_DECAY * this.size)) {
      this.#lastDecay = this.#now;
      this.#model.decay();
    }
  }

  #lookAfterNextSlot(): void {
    this.#slotHand = this.#slotHand + 1 < this.#records.length ? this.#slotHand + 1 : 0;
    const record = this.#records[this.#slotHand];
    if (record === undefined) return;
    this.#model.observe(record, this.#now);
    this.#weigh(this.#slotHand, record);
  }

  #lookAfterNextGhost(): void {
    const next = this.#ghostHand.next();
    if (next.done) this.#ghostHand = this.#ghosts.values();
    else this.#model.observe(next.value, this.#now);
  }

  #weigh(slot: number, record: ChunkRecord): void {
    const worth = this.#model.worth(record, this.#now);
    if (worth === this.#worths[slot]) return;
    this.#worths[slot] = worth;
    this.reorder(slot);
  }
}

/** Of the first chunk behind its parent all that is known is what is known of that. */
function newRecord(now: number, parent: ChunkRecord | undefined): ChunkRecord {
  return {
    numUses: parent && !parent.hadChild ? parent.numUses : 1,
    isPromptEnd: false,
    hadChild: false,
    lastUse: now,
    observedUntil: now,
  };
}
