import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { type TlsOptions, createServer as createTlsServer } from "node:tls";
import { UsageError, messageOf } from "../core/index.ts";

/** PEM texts. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** Signs the certificates that clients must then have. */
  readonly ca?: string | undefined;
}

export interface ListenOptions {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
  readonly tls?: ServerTls | undefined;
  /** More are turned away. */
  readonly maxConnections: number;
}

/** A client that is away without a word is noticed. */
const KEEP_ALIVE_DELAY_MS = 60_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const BACKLOG = 1024;

/**
 * Listens for clients.
 *
 * @param onClient gets each socket within the event that brought it
 * @throws UsageError when the address or the certificate cannot be used
 */
export async function listen(
  options: ListenOptions,
  onClient: (socket: Socket) => void,
): Promise<Server> {
  const server = create(options.tls, onClient);
  server.maxConnections = options.maxConnections;
  const { host, port } = options;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const message = `Cannot listen on ${host} port ${port}: ${messageOf(cause)}`;
      reject(new UsageError(message, { cause }));
    });
    server.listen({ host, port, backlog: BACKLOG }, resolve);
  });
  return server;
}

/** "host:port", as in addresses. */
export function addressOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  return `${family === "IPv6" ? `[${address}]` : address}:${port}`;
}

function create(tls: ServerTls | undefined, onClient: (socket: Socket) => void): Server {
  const options = {
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
  };
  if (tls === undefined) return createServer(options, onClient);
  const { cert, key, ca } = tls;
  const certificates: TlsOptions = { cert, key, minVersion: "TLSv1.2" };
  if (ca !== undefined) Object.assign(certificates, { ca, requestCert: true });
  try {
    return createTlsServer(
      { ...options, ...certificates, handshakeTimeout: HANDSHAKE_TIMEOUT_MS },
      onClient,
    );
  } catch (cause) {
    throw new UsageError(`Cannot use the TLS certificate or key: ${messageOf(cause)}`, { cause });
  }
}
