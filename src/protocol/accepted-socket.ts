import { type OnReadOpts, Socket, type SocketConstructorOpts } from "node:net";

/**
 * A socket that reads into windows, in place of one that a server has accepted: net offers `onread` to clients only.
 * So the handle moves to a socket of our own, within the event that brought it and before anything was read.
 * The accepted one stays, empty, so that its server counts its connections rightly; either takes the other along.
 *
 * @returns undefined where that is not possible (TLS, a runtime without such handles)
 */
export function takeOver(accepted: Socket, onread: OnReadOpts): Socket | undefined {
  const owner = accepted as unknown as { _handle: unknown; encrypted?: boolean };
  const handle = owner._handle;
  if (owner.encrypted || handle === null || typeof handle !== "object") return undefined;
  if (!("useUserBuffer" in handle)) return undefined;
  owner._handle = null;
  const socket = new Socket({ handle, onread } as SocketConstructorOpts);
  socket.once("close", () => accepted.destroy());
  accepted.once("close", () => socket.destroy());
  return socket;
}
