import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadCacheConfig, type LoadedCacheConfig } from "../../../src/config/index.ts";
import { renderConfigurationDocs } from "../../../src/config/docs.ts";
import { settingsByKey } from "../../../src/config/schema.ts";
import { isMap, parseYaml } from "../../../src/config/yaml-text.ts";
import { CWD, usageErrorOf } from "./reading.ts";

const page = renderConfigurationDocs();

function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(
    (match) => match[1]!,
  );
}

test("docs/configuration.md is what the schema says (vitest -u writes it)", async () => {
  await expect(page).toMatchFileSnapshot("../../../docs/configuration.md");
});

test("the page has a row for each key", () => {
  for (const key of settingsByKey.keys()) expect(page).toContain(`\n| \`${key}\` |`);
});

describe("examples of the page", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "warmkv-docs-"));
    // Stands in for the real command: writes down how it was called, one line of JSON per call.
    const script = `#!${process.execPath}
console.log(JSON.stringify({ env: process.env, args: process.argv.slice(2) }));
`;
    writeFileSync(join(folder, "warmkv"), script, { mode: 0o755 });
    writeFileSync(join(folder, "cache.yaml"), blocks("yaml")[0]!);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function callsOf(script: string): { env: Record<string, string>; args: string[] }[] {
    const env = { PATH: [folder, process.env["PATH"]].join(delimiter) };
    const output = execFileSync("sh", ["-e", "-c", script], { env, cwd: folder, encoding: "utf8" });
    return output
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  }

  function load({ env, args }: ReturnType<typeof callsOf>[number]): LoadedCacheConfig {
    const transfer = args.indexOf("--kv-transfer-config");
    const json = transfer === -1 ? {} : JSON.parse(args[transfer + 1]!);
    return loadCacheConfig({
      env,
      cwd: folder,
      connectorExtraConfig: json.kv_connector_extra_config,
    });
  }

  test.each(blocks("sh"))("%s", (script) => {
    for (const call of callsOf(script)) {
      const { warnings, setKeys, config } = load(call);
      expect(warnings.filter((warning) => !warning.includes("the disk tier stays off"))).toEqual(
        [],
      );
      expect(setKeys.size).toBeGreaterThan(0);
      if (setKeys.has("extra_config")) expect(config.extraConfig.useOdirect).toBe(true);
    }
  });

  test.each(blocks("yaml"))("%s", (yaml) => {
    const path = join(folder, "example.yaml");
    writeFileSync(path, yaml);
    const { warnings, setKeys } = loadCacheConfig({ env: {}, cwd: CWD, file: path });
    expect(warnings.filter((warning) => !warning.includes("the disk tier stays off"))).toEqual([]);
    expect([...setKeys]).toEqual([...yaml.matchAll(/^(\w+):/gm)].map((match) => match[1]));
  });

  test.each(blocks("ts"))("%s", (code) => {
    const literal = /cache = (\{.*?\});/s.exec(code)?.[1];
    // An object literal of strings and numbers is YAML too.
    const overrides = parseYaml(literal!);
    expect(isMap(overrides)).toBe(true);
    const { warnings, setKeys } = loadCacheConfig({ env: {}, cwd: CWD, overrides: overrides! });
    expect(warnings).toEqual([]);
    expect(setKeys.size).toBe(3);
  });

  test.each(blocks("text").flatMap((block) => block.trim().split("\n")))("%s", (sentence) => {
    const [, value, variable] = /Cannot use \w+ (".*?") from environment variable (\w+):/.exec(
      sentence,
    )!;
    const env = { [variable!]: JSON.parse(value!) as string };
    expect(usageErrorOf(() => loadCacheConfig({ env, cwd: CWD })).message).toBe(sentence);
  });

  test("there are some of each kind", () => {
    expect(["sh", "yaml", "ts", "text"].map((kind) => blocks(kind).length)).toEqual([5, 3, 1, 1]);
  });
});
