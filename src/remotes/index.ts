export { openRemote, remoteSchemes } from "./open-remote.ts";
export type { OpenRemoteOptions } from "./open-remote.ts";
export type { RemoteOptions } from "./remote-options.ts";
export type { RemoteCall, RemoteClaim, RemotePriority, RemoteStore } from "./remote-store.ts";
