/** What waits for a connection is served in this order. */
export const REMOTE_PRIORITIES = ["lookup", "prefetch", "get", "put"] as const;
export type RemotePriority = (typeof REMOTE_PRIORITIES)[number];
