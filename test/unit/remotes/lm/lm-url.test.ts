import { describe, expect, test } from "vitest";
import { hostName, parseLmUrl } from "../../../../src/remotes/lm/lm-url.ts";

describe("parseLmUrl()", () => {
  test.each([
    ["lm://localhost:65432", ["localhost:65432"], "lm://localhost:65432"],
    ["lm://localhost:65432/", ["localhost:65432"], "lm://localhost:65432"],
    ["LM://a:1,b:2", ["a:1", "b:2"], "lm://a:1,b:2"],
    ["lm://[::1]:8000", ["[::1]:8000"], "lm://[::1]:8000"],
    ["lms://token@a:1,[fe80::1]:2", ["a:1", "[fe80::1]:2"], "lms://a:1,[fe80::1]:2"],
    ["lm://a:1?tls=1", ["a:1"], "lms://a:1"],
  ])("reads %s", (url, names, address) => {
    const parsed = parseLmUrl(url);
    expect(parsed.hosts.map(hostName)).toEqual(names);
    expect(parsed.address).toBe(address);
    expect(parsed.isTls).toBe(address.startsWith("lms"));
  });

  test.each([
    ["lm://secret@a:1", "secret"],
    ["lm://user:secret@a:1", "secret"],
    ["lm://:s%40cret%2F@a:1", "s@cret/"],
    ["lm://@a:1", undefined],
    ["lm://a:1", undefined],
  ])("the token of %s is %s, and the address does not have it", (url, token) => {
    expect(parseLmUrl(url).token).toBe(token);
    expect(parseLmUrl(url).address).toBe("lm://a:1");
  });

  test("?form= names an older server", () => {
    expect(parseLmUrl("lm://a:1").form).toBeUndefined();
    expect(parseLmUrl("lm://a:1?form=2025").form).toBe("2025");
    expect(parseLmUrl("lm://a:1/?form=2024&tls=0")).toMatchObject({ form: "2024", isTls: false });
  });

  test.each([
    "lm://",
    "lm://host",
    "lm://host:0",
    "lm://host:65536",
    "lm://host:port",
    "lm://::1:8000",
    "lm://a:1,",
    "lm://a:1,a:1",
    "lm://a:1/path",
    "lm://a:1?tls=yes",
    "lm://a:1?form=2023",
    "lm://a:1?other=1",
    "lm://%zz@a:1",
    "redis://a:1",
  ])("%s is refused by a sentence", (url) => {
    expect(() => parseLmUrl(url)).toThrow(/^Cannot use ".*": wanted lm:\/\/host:port/);
  });

  test("what is refused does not show its token", () => {
    expect(() => parseLmUrl("lm://secret@host")).toThrow(/^(?!.*secret)/);
  });
});
