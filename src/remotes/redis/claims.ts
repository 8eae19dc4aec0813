import { RespError } from "../../protocol/index.ts";
import type { RemoteClaim } from "../remote-store.ts";
import type { NameAnswer } from "./exchanges.ts";
import { claimKey } from "./layout.ts";
import type { RedisSession } from "./redis-session.ts";

// Of commands that values need too, so that no user's rules forbid them. Between the look at a claim and its renewal
// or end it may become another's; then two compute the same, as they would without claims.

/** @returns for each name whether it is the owner's now */
export async function claimValues(
  session: RedisSession,
  names: readonly string[],
  { owner, ttlMs }: RemoteClaim,
): Promise<NameAnswer[]> {
  for (const name of names) {
    session.add("SET", claimKey(name), owner, "NX", "PX", String(ttlMs));
    session.add("GET", claimKey(name));
  }
  await session.send();
  const replies = await session.replies(2 * names.length);
  const renewed: string[] = [];
  const answers = names.map((name, index): NameAnswer => {
    const [made, held] = replies.slice(2 * index, 2 * index + 2);
    // Where nothing can be noted, nobody is waited for.
    if (made === "OK" || (made instanceof RespError && made.code === "OOM")) return true;
    if (made instanceof RespError) return made;
    if (held instanceof RespError) return held;
    if (held !== owner) return false;
    renewed.push(name);
    return true;
  });
  for (const name of renewed) {
    session.add("SET", claimKey(name), owner, "XX", "PX", String(ttlMs));
  }
  if (renewed.length > 0) {
    await session.send();
    await session.replies(renewed.length);
  }
  return answers;
}

/** @returns for each name whether it was the owner's */
export async function releaseValues(
  session: RedisSession,
  names: readonly string[],
  owner: string,
): Promise<NameAnswer[]> {
  for (const name of names) session.add("GET", claimKey(name));
  await session.send();
  const answers = (await session.replies(names.length)).map((reply) =>
    reply instanceof RespError ? reply : reply === owner,
  );
  const own = names.filter((_, index) => answers[index] === true);
  for (const name of own) session.add("UNLINK", claimKey(name));
  if (own.length > 0) {
    await session.send();
    await session.replies(own.length);
  }
  return answers;
}
