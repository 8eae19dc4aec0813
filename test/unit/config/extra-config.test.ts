import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { loadCacheConfig } from "../../../src/config/index.ts";
import { CWD, fromEnv, usageErrorOf } from "./reading.ts";

const DEFAULTS = {
  useOdirect: false,
  diskIoThreads: 4,
  remoteMaxConnections: 4,
  remoteClaimMs: 0,
  remoteToken: undefined,
  rest: {},
};
const ODIRECT = { ...DEFAULTS, useOdirect: true };
const BOTH = { ...ODIRECT, diskIoThreads: 8 };

function extraFromEnv(text: string): unknown {
  return fromEnv({ LMCACHE_EXTRA_CONFIG: text }).config.extraConfig;
}

describe("extra_config in one line", () => {
  test.each([
    [`{"use_odirect": true}`, ODIRECT],
    [`{'use_odirect': True}`, ODIRECT],
    [`{'use_odirect': True, 'disk_io_threads': 8,}`, BOTH],
    [`{use_odirect: True, disk_io_threads: 8}`, BOTH],
    [`{use_odirect:True,disk_io_threads:8}`, BOTH],
    [`{'use_odirect':True,'disk_io_threads':8}`, BOTH],
    [`{'use_odirect': True, disk_io_threads:8}`, BOTH],
    [`"{'use_odirect': True}"`, ODIRECT],
    [`'{"use_odirect": true}'`, ODIRECT],
    [`{\\"use_odirect\\": true}`, ODIRECT],
    [`{“use_odirect”: true}`, ODIRECT],
    [`{‘use_odirect’: True}`, ODIRECT],
    [`use_odirect: true`, ODIRECT],
    [`use_odirect: yes\ndisk_io_threads: "8"`, BOTH],
    [`{"use_odirect": "1", "disk_io_threads": "8"}`, BOTH],
    [`{'use_odirect': None, 'disk_io_threads': None}`, { ...ODIRECT, useOdirect: false }],
    [`{}`, { ...ODIRECT, useOdirect: false }],
    [`None`, { ...ODIRECT, useOdirect: false }],
  ])("%s", (text, expected) => {
    expect(extraFromEnv(text)).toEqual(expected);
  });

  test("keeps what remote tiers read", () => {
    expect(extraFromEnv(`{mode:cluster,nested:{port:7000,url:redis://h:1},off:None}`)).toEqual({
      ...DEFAULTS,
      rest: { mode: "cluster", nested: { port: 7000, url: "redis://h:1" }, off: null },
    });
    expect(extraFromEnv(`{"url": "redis://h:1", "list": [1, 2]}`)).toMatchObject({
      rest: { url: "redis://h:1", list: [1, 2] },
    });
  });

  test("has what the remote tier is told beside its address", () => {
    expect(
      extraFromEnv(
        "{remote_max_connections: 16, remote_claim_ms: 5000, remote_token: open-sesame}",
      ),
    ).toEqual({
      ...DEFAULTS,
      remoteMaxConnections: 16,
      remoteClaimMs: 5000,
      remoteToken: "open-sesame",
    });
    expect(usageErrorOf(() => extraFromEnv("{remote_max_connections: 0}")).message).toContain(
      "wanted a whole number from 1 to 64",
    );
  });

  test.each(["{use_odirect:", "disk_io_threads:8", "true", "[1]", "5", "{", "{{use_odirect: 1}}"])(
    "%s is refused",
    (text) => {
      expect(usageErrorOf(() => extraFromEnv(text)).message).toBe(
        `Cannot use extra_config ${JSON.stringify(text)} from environment variable LMCACHE_EXTRA_CONFIG: ` +
          `wanted a map, as YAML, JSON or a Python dict in quotes, such as '{"use_odirect": true}'`,
      );
    },
  );

  test.each([
    [`{use_odirect: perhaps}`, `extra_config.use_odirect "perhaps"`, "wanted true, false"],
    [
      `{disk_io_threads: 0}`,
      `extra_config.disk_io_threads 0`,
      "wanted a whole number from 1 to 256",
    ],
    [`{disk_io_threads: [4]}`, `extra_config.disk_io_threads [ 4 ]`, "wanted a whole number"],
  ])("%s is refused by the entry's name", (text, subject, wanted) => {
    const error = usageErrorOf(() => extraFromEnv(text));
    expect(error.message).toContain(`Cannot use ${subject} from environment variable`);
    expect(error.message).toContain(wanted);
    expect(error.param).toBe("extra_config");
  });

  test.each(["useODirect", "use_odirct", "use-o-direct", "use_direct"])(
    "%s is a warning with the entry that was meant",
    (key) => {
      expect(fromEnv({ LMCACHE_EXTRA_CONFIG: `{${key}: 1}` }).warnings).toEqual([
        `Unknown key ${key} in extra_config: did you mean use_odirect?`,
      ]);
    },
  );

  test("an entry of its own needs no warning", () => {
    expect(fromEnv({ LMCACHE_EXTRA_CONFIG: "{ping_interval: 30}" }).warnings).toEqual([]);
  });

  test("an entry named __proto__ is data like any other", () => {
    const { config } = fromEnv({ LMCACHE_EXTRA_CONFIG: `{"__proto__": {"use_odirect": true}}` });
    expect(config.extraConfig.useOdirect).toBe(false);
    expect(({} as Record<string, unknown>)["use_odirect"]).toBeUndefined();
  });
});

/** What a shell makes of a line as people paste it. */
function throughShell(assignment: string): string {
  const script = `export LMCACHE_EXTRA_CONFIG=${assignment}\nprintf %s "$LMCACHE_EXTRA_CONFIG"`;
  return execFileSync("sh", ["-c", script], { encoding: "utf8" });
}

describe("extra_config through a real shell", () => {
  test.each([
    `'{"use_odirect": true}'`,
    `"{'use_odirect': True}"`,
    `'{'use_odirect': True}'`,
    `"{"use_odirect": true}"`,
    `{"use_odirect":true}`,
    `{'use_odirect':True}`,
    `'{\\"use_odirect\\": true}'`,
  ])("export LMCACHE_EXTRA_CONFIG=%s", (assignment) => {
    expect(extraFromEnv(throughShell(assignment))).toEqual(ODIRECT);
  });
});

test("extra_config is replaced as a whole by a later source", () => {
  const { config } = loadCacheConfig({
    env: { LMCACHE_EXTRA_CONFIG: "{use_odirect: true, a: 1}" },
    cwd: CWD,
    overrides: { extraConfig: { disk_io_threads: 2 } },
  });
  expect(config.extraConfig).toEqual({ ...DEFAULTS, diskIoThreads: 2 });
});
