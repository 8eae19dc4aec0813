import { defineConfig } from "vitest/config";

// Programs of others that are too large to install for every run: `npm run test:peers`.
export default defineConfig({
  test: {
    name: "peers",
    include: ["test/peers/**/*.test.ts"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    fileParallelism: false,
  },
});
