import { describe, expect, test } from "vitest";
import {
  coroRpcFunctionId,
  decodeCoroRpcReplyHead,
  decodeCoroRpcRequestHead,
  encodeCoroRpcReplyHead,
  encodeCoroRpcRequestHead,
} from "../../../src/protocol/coro-rpc.ts";
import { MOONCAKE_LAYOUTS } from "../../../src/protocol/mooncake-layouts.ts";
import {
  decodeMooncakeStatus,
  decodeMooncakeTransfer,
  encodeMooncakeStatus,
  encodeMooncakeTransfer,
} from "../../../src/protocol/mooncake-tcp.ts";
import { typeHash } from "../../../src/protocol/struct-pack.ts";

describe("coro_rpc", () => {
  test("functions are numbered by their names", () => {
    const id = (name: string): string =>
      coroRpcFunctionId(`mooncake::WrappedMasterService::${name}`).toString(16);
    expect(["ExistKey", "PutStart", "PutEnd", "GetReplicaList", "ServiceReady"].map(id)).toEqual([
      "89385f09",
      "65ea9ac1",
      "8e8b2099",
      "1f7ef174",
      "7b81bb56",
    ]);
  });

  test("heads are 20 and 16 bytes, little-endian", () => {
    const request = encodeCoroRpcRequestHead({ sequence: 7, functionId: 0x89385f09, bodyBytes: 5 });
    expect(request.toString("hex")).toBe("1500000007000000095f38890500000000000000");
    expect(decodeCoroRpcRequestHead(request)).toEqual({
      sequence: 7,
      functionId: 0x89385f09,
      bodyBytes: 5,
    });
    const reply = encodeCoroRpcReplyHead({ sequence: 7, error: 4, bodyBytes: 24 });
    expect(reply.toString("hex")).toBe("15000400070000001800000000000000");
    expect(decodeCoroRpcReplyHead(reply)).toEqual({ sequence: 7, error: 4, bodyBytes: 24 });
  });

  test("a head of something else is refused", () => {
    expect(() => decodeCoroRpcReplyHead(Buffer.from("HTTP/1.1 400 Bad"))).toThrow(
      expect.objectContaining({ code: "protocol" }),
    );
    const attached = Buffer.from("15000000070000001800000001000000", "hex");
    expect(() => decodeCoroRpcReplyHead(attached)).toThrow(/attachment/);
  });
});

describe("Mooncake's layouts", () => {
  // As the masters of these releases accept and send them.
  const HASHES: Record<string, readonly string[]> = {
    "0.3.13": ["7cf91ed8", "88c6276c", "e385bd0e", "c43927a6", "d1819222", "18e89fee"],
    "0.3.12": ["7cf91ed8", "75ecf440", "6920ea5c", "12e5cdba", "1b7a228a", "18e89fee"],
    "0.3.11": ["9dcffa76", "75ecf440", "5dddcc88", "12e5cdba", "61232de0", "dbcf8900"],
    "0.3.10.post1": ["9dcffa76", "8362cb40", "66ce6bf6", "eb40e5b4", "61232de0", "dbcf8900"],
    "0.3.9": ["9dcffa76", "8362cb40", "786e5846", "eb40e5b4", "61232de0", "dbcf8900"],
    "0.3.8": ["9dcffa76", "b67eec78", "786e5846", "b9fcf8f0", "61232de0", "9dcffa76"],
    "0.3.7": ["9dcffa76", "a68273aa", "2eb40706", "f2a8e5ec", "081b904a", "9dcffa76"],
  };

  test.each(MOONCAKE_LAYOUTS)("release $release has the types its master has", (layout) => {
    const types = [
      layout.replicas.request,
      layout.replicas.reply,
      layout.putStart.request,
      layout.putStart.reply,
      layout.putEnd.request,
      layout.remove.request,
    ];
    expect(types.map((type) => typeHash(type).toString(16).padStart(8, "0"))).toEqual(
      HASHES[layout.release],
    );
  });
});

describe("Mooncake's transfers", () => {
  test("a request is 24 bytes", () => {
    const write = { kind: "write", address: 0x7f00_0000_1000n, sizeBytes: 65_536n } as const;
    const bytes = encodeMooncakeTransfer({ ...write, hasStatus: true });
    expect(bytes.toString("hex")).toBe("0000010000000000001000000" + "07f00008100000000000000");
    expect(decodeMooncakeTransfer(bytes)).toEqual({ ...write, hasStatus: true });
    const read = { ...write, kind: "read", hasStatus: false } as const;
    expect(encodeMooncakeTransfer(read)[16]).toBe(0);
    expect(decodeMooncakeTransfer(encodeMooncakeTransfer(read))).toEqual(read);
  });

  test("a status bears a mark, so that bytes of a value are not taken for one", () => {
    expect(encodeMooncakeStatus("done").toString("hex")).toBe("000000005654434d");
    expect(encodeMooncakeStatus("rejected").toString("hex")).toBe("010000005654434d");
    expect(decodeMooncakeStatus(encodeMooncakeStatus("rejected"))).toBe("rejected");
    expect(() => decodeMooncakeStatus(Buffer.alloc(8))).toThrow(
      expect.objectContaining({ code: "protocol" }),
    );
  });
});
