import type { ConnectionOptions } from "node:tls";
import type { Redis } from "ioredis";
import { messageOf } from "../../core/index.ts";
import { ConnectionError, RespError, socketFailureCode } from "../../protocol/index.ts";
import { connectionError } from "./redis-session.ts";
import type { RedisNode } from "./redis-url.ts";

export interface ControlOptions {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: ConnectionOptions | undefined;
  readonly timeoutMs: number;
  /** [0, 1). */
  readonly random: () => number;
}

/** The first answer counts: one server that is frozen must not hold up the others. */
const MAX_ASKED_SERVERS = 5;

/**
 * Asks some of the servers something short, each on a connection for it alone.
 *
 * @returns the first answer
 * @throws ConnectionError when none has one
 */
export async function askServers<T>(
  nodes: readonly RedisNode[],
  ask: (client: Redis, node: RedisNode) => Promise<T>,
  options: ControlOptions,
  signal: AbortSignal,
): Promise<T> {
  const asked = shuffled(nodes, options.random).slice(0, MAX_ASKED_SERVERS);
  const done = new AbortController();
  const ends = AbortSignal.any([signal, done.signal]);
  try {
    return await Promise.any(asked.map((node) => askServer(node, ask, options, ends)));
  } catch (error) {
    const failures = (error as AggregateError).errors as ConnectionError[];
    throw failures.find((failure) => failure.code === "unauthorized") ?? failures[0]!;
  } finally {
    done.abort();
  }
}

async function askServer<T>(
  node: RedisNode,
  ask: (client: Redis, node: RedisNode) => Promise<T>,
  { username, password, tls, timeoutMs }: ControlOptions,
  ends: AbortSignal,
): Promise<T> {
  // Loaded when it is needed: one server alone is not asked for others.
  const { Redis } = await import("ioredis");
  const client = new Redis({
    ...node,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    protocol: 2,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  let failure: Error | undefined;
  client.on("error", (error: Error) => {
    failure ??= error;
  });
  const onAbort = (): void => client.disconnect();
  ends.addEventListener("abort", onAbort);
  try {
    return await ask(client, node);
  } catch (error) {
    throw failureOf(failure ?? error);
  } finally {
    ends.removeEventListener("abort", onAbort);
    client.disconnect();
  }
}

/** Without a cause: ioredis' errors carry the command, and so the password. */
function failureOf(error: unknown): ConnectionError {
  if (error instanceof ConnectionError) return error;
  const { name, command } = error as Error & { command?: { name?: string } };
  if (name !== "ReplyError") {
    return new ConnectionError(socketFailureCode(error), messageOf(error));
  }
  const reply = new RespError(messageOf(error));
  return command?.name === "auth"
    ? new ConnectionError("unauthorized", `The server refused the password (${reply.code})`)
    : connectionError(reply);
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, order: random() }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ item }) => item);
}
