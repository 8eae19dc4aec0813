import type { RemoteOptions } from "../remote-options.ts";
import type { RemoteStore } from "../remote-store.ts";
import { InfinistoreRemote } from "./infinistore-remote.ts";
import { parseInfinistoreUrl } from "./infinistore-url.ts";

/**
 * `infinistore://host:port`: an InfiniStore server over TCP. Connects when first used.
 *
 * @throws UsageError for an address that cannot be
 */
export function openInfinistoreRemote(url: string, options: RemoteOptions): RemoteStore {
  const { host, port } = parseInfinistoreUrl(url);
  return new InfinistoreRemote(host, port, options);
}
