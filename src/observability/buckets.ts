/** Bucket bounds as vLLM and LMCache have them, so that their dashboards read the same. Seconds unless named. */
export const timeToFirstTokenBuckets: readonly number[] = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
  160, 640, 2560,
];

export const timePerTokenBuckets: readonly number[] = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];

export const requestLatencyBuckets: readonly number[] = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];

/** 1, 2, 5, 10, 20, 50, ... up to a context of a million tokens. */
export const tokenCountBuckets: readonly number[] = [1, 10, 100, 1000, 10_000, 100_000]
  .flatMap((decade) => [decade, 2 * decade, 5 * decade])
  .concat(1_000_000);

export const stepTokenBuckets: readonly number[] = [
  1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384,
];

export const transferTimeBuckets: readonly number[] = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];

/** 10 microseconds, doubled 19 times. */
export const lookupTimeBuckets: readonly number[] = Array.from(
  { length: 20 },
  (_, i) => 1e-5 * 2 ** i,
);

/** Tokens per second. */
export const speedBuckets: readonly number[] = [
  1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536,
];

/** Shares of a prompt. */
export const hitRateBuckets: readonly number[] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
