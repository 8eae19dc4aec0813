/**
 * Spreads names over servers so that each name keeps its server when others come or go: the highest score of
 * hash(name, server) wins. The order in which the servers are given does not matter.
 */
export class Rendezvous {
  readonly #serverHashes: readonly number[];

  /** @param servers their names, each different */
  constructor(servers: readonly string[]) {
    this.#serverHashes = servers.map(hash);
  }

  /** @returns the index of the server */
  serverOf(name: string): number {
    const nameHash = hash(name);
    let best = 0;
    let bestScore = -1;
    this.#serverHashes.forEach((serverHash, index) => {
      const score = mix(nameHash ^ serverHash);
      if (score > bestScore) [best, bestScore] = [index, score];
    });
    return best;
  }
}

/** FNV-1a, mixed. */
function hash(text: string): number {
  let state = 0x811c9dc5;
  for (const byte of Buffer.from(text)) state = Math.imul(state ^ byte, 0x01000193);
  return mix(state);
}

/** The finalizer of MurmurHash3: each bit of the input changes half of the output's. */
function mix(value: number): number {
  let state = value;
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}
