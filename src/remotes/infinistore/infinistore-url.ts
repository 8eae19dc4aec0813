import { UsageError } from "../../core/index.ts";

const DEFAULT_PORT = 22_345;

/**
 * `infinistore://host:port`. LMCache's `?device=` names a network card for RDMA; over TCP it means nothing.
 *
 * @throws UsageError for anything else
 */
export function parseInfinistoreUrl(url: string): { host: string; port: number } {
  const parts =
    /^infinistore:\/\/(?:\[([0-9a-f:.]+)\]|([^:/?#,@[\]]+))(?::(\d{1,5}))?\/?(?:\?device=[^&#]*)?$/i.exec(
      url,
    );
  const port = Number(parts?.[3] ?? DEFAULT_PORT);
  if (parts === null || port < 1 || port > 65_535) {
    throw new UsageError(
      `Cannot use "${url}": wanted one host and port, such as infinistore://localhost:${DEFAULT_PORT}`,
      { param: "remote_url" },
    );
  }
  return { host: (parts[1] ?? parts[2])!, port };
}
