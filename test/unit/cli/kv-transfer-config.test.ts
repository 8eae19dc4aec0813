import { describe, expect, it } from "vitest";
import { parseKvTransferConfig } from "../../../src/cli/kv-transfer-config.ts";
import { UsageError } from "../../../src/core/index.ts";

describe("parseKvTransferConfig()", () => {
  it("reads LMCache's documented line", () => {
    const text = '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}';
    expect(parseKvTransferConfig(text)).toEqual({
      isCacheOn: true,
      role: "kv_both",
      extraConfig: {},
    });
  });

  it("reads role and extra config, and vLLM's keys for peers without effect", () => {
    const text = JSON.stringify({
      kv_connector: "LMCacheConnectorV1",
      kv_role: "kv_consumer",
      kv_connector_extra_config: { "lmcache.chunk_size": 64 },
      engine_id: "a",
      kv_port: 14_579,
    });
    expect(parseKvTransferConfig(text)).toEqual({
      isCacheOn: true,
      role: "kv_consumer",
      extraConfig: { "lmcache.chunk_size": 64 },
    });
  });

  it("leaves the cache off without a connector", () => {
    expect(parseKvTransferConfig("{}").isCacheOn).toBe(false);
    expect(parseKvTransferConfig('{"kv_connector":null}').isCacheOn).toBe(false);
  });

  it.each([
    ["{kv_connector:x}", 'as JSON: wanted \'{"kv_connector"'],
    ["", "as JSON"],
    ["[]", "wanted object"],
    ["5", "wanted object"],
    ['{"kv_connector":"NixlConnector"}', 'kv_connector: wanted "LMCacheConnectorV1"'],
    ['{"kv_role":"both"}', "kv_role: wanted one of kv_both, kv_producer, kv_consumer"],
    ['{"kv_roll":"kv_both"}', 'unknown key "kv_roll"'],
    ['{"kv_connector_extra_config":[]}', "kv_connector_extra_config: wanted a JSON object"],
    ['{"kv_port":"x"}', "kv_port: wanted number"],
  ])("refuses %s", (text, message) => {
    expect(() => parseKvTransferConfig(text)).toThrow(UsageError);
    expect(() => parseKvTransferConfig(text)).toThrow(message);
  });
});
