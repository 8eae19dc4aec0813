import { expect, test } from "vitest";
import { describeConfig } from "../../../src/config/index.ts";
import { settingsByKey } from "../../../src/config/schema.ts";
import { fromEnv } from "./reading.ts";

test("describeConfig() writes one line per key, sizes as GB", () => {
  const { config } = fromEnv({
    LMCACHE_LOCAL_DISK: "file:///a/,/b",
    LMCACHE_MAX_LOCAL_DISK_SIZE: "512MiB",
    LMCACHE_EXTRA_CONFIG: "{use_odirect: true, ping_interval: 5}",
  });
  const lines = describeConfig(config).split("\n");
  expect(lines[0]).toBe("LMCache Configuration: {");
  expect(lines.at(-1)).toBe("}");
  expect(lines.slice(1, -1).map((line) => /^ {2}(\w+): /.exec(line)?.[1])).toEqual([
    ...settingsByKey.keys(),
  ]);
  expect(lines).toContain("  max_local_cpu_size: 5.0 GB");
  expect(lines).toContain("  max_local_disk_size: 0.5 GB");
  expect(lines).toContain("  local_disk: /a,/b");
  expect(lines).toContain("  pin_timeout_sec: 300 s");
  expect(lines).toContain("  remote_url: None");
  expect(lines).toContain(
    '  extra_config: {"use_odirect":true,"disk_io_threads":4,"remote_max_connections":4,"remote_claim_ms":0,"ping_interval":5}',
  );
});

test("describeConfig() shows no secrets", () => {
  const { config } = fromEnv({});
  const described = describeConfig({
    ...config,
    remoteUrl: "redis://user:hunter2@host:6379?token=hunter3",
    extraConfig: {
      ...config.extraConfig,
      remoteToken: "hunter7",
      rest: { valkey_password: "hunter4", nested: { api_key: "hunter5", url: "lm://u:hunter6@h" } },
    },
  });
  expect(described).toContain("remote_url: redis://***@host:6379?token=***");
  expect(described).toContain('"valkey_password":"***"');
  expect(described).not.toMatch(/hunter/);
});
