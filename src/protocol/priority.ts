/** What waits for a connection is served in this order: what a request waits for, then what nobody does. */
export const REMOTE_PRIORITIES = ["lookup", "get", "prefetch", "put"] as const;
export type RemotePriority = (typeof REMOTE_PRIORITIES)[number];
