import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { Hono } from "hono";
import { UsageError, messageOf } from "../core/index.ts";

const MAX_CONNECTIONS = 64;

/** The admin endpoints over HTTP. */
export class AdminServer implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws UsageError when the address cannot be listened on */
  static async listen(app: Hono, host: string, port: number): Promise<AdminServer> {
    const server = createAdaptorServer({
      fetch: app.fetch,
      overrideGlobalObjects: false,
    }) as Server;
    server.maxConnections = MAX_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) => {
        const message = `Cannot listen on ${host} port ${port} for HTTP: ${messageOf(cause)}`;
        reject(new UsageError(message, { cause }));
      });
      server.listen({ host, port }, resolve);
    });
    return new AdminServer(server);
  }

  get url(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
