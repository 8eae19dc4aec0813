import { createHash } from "node:crypto";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeRepository {
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Tokens that open it; undefined: it is public. */
  readonly tokens?: readonly string[];
  readonly isGated?: boolean;
  /** Where "main" stands. */
  readonly commit?: string;
}

export interface SeenRequest {
  readonly host: "hub" | "cdn";
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const PAGE_SIZE = 2;
const PIECE_BYTES = 16 * 1024;

export const sha256Of = (bytes: Uint8Array): string =>
  createHash("sha256").update(bytes).digest("hex");

/** Speaks as much of the Hugging Face hub's API as a download needs, and misbehaves when told to. */
export class HubServer implements AsyncDisposable {
  readonly repositories = new Map<string, FakeRepository>();
  readonly seen: SeenRequest[] = [];
  /** Statuses to answer the next requests with, before anything else. */
  readonly failures: { status: number; headers?: Record<string, string> }[] = [];
  /** After so many bytes of the next bodies, the connection breaks. */
  readonly drops: number[] = [];
  ignoresRanges = false;
  /** Turns what is sent into something else. */
  corrupt: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;
  /** What the hub says that its files are long. */
  claimedBytes: number | undefined;
  /** Between two pieces. */
  pieceDelayMs = 0;
  numSentBytes = 0;
  url = "";
  readonly #hub: Server;
  readonly #cdn: Server;

  static async start(): Promise<HubServer> {
    const server = new HubServer();
    for (const one of [server.#hub, server.#cdn]) {
      await new Promise<void>((resolve) => one.listen(0, "127.0.0.1", resolve));
    }
    server.url = urlOf(server.#hub);
    return server;
  }

  private constructor() {
    this.#hub = createServer((request, response) => this.#answer(request, response));
    this.#cdn = createServer((request, response) => {
      void this.#sendBlob(request, response);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of [this.#hub, this.#cdn]) {
      one.closeAllConnections();
      await new Promise((resolve) => one.close(resolve));
    }
  }

  downloads(): SeenRequest[] {
    return this.seen.filter(({ host }) => host === "cdn");
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url!, this.url);
    this.#note("hub", request);
    const failure = this.failures.shift();
    if (failure !== undefined) {
      response.writeHead(failure.status, failure.headers).end("{}");
      return;
    }
    const [, api, file] =
      /^\/api\/models\/(.*)$/.exec(url.pathname) ?? /^()\/(.*)$/.exec(url.pathname)!;
    const [owner, name, verb, revision = "", ...rest] = (api || file!).split("/");
    const repositoryName = `${owner}/${name}`;
    const repository = this.repositories.get(repositoryName);
    const refuse = (status: number, code: string): void => {
      response.writeHead(status, { "x-error-code": code }).end("{}");
    };
    const token = request.headers.authorization?.replace("Bearer ", "");
    if (repository === undefined) return refuse(401, "RepoNotFound");
    if (repository.tokens !== undefined && !repository.tokens.includes(token ?? "")) {
      return repository.isGated ? refuse(403, "GatedRepo") : refuse(401, "RepoNotFound");
    }
    const commit = repository.commit ?? COMMIT;
    if (!["main", commit].includes(decodeURIComponent(revision))) {
      return refuse(404, "RevisionNotFound");
    }
    if (verb === "revision") {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ _id: "1", id: repositoryName, sha: commit, private: false }));
      return;
    }
    if (verb === "tree") {
      this.#sendTree(url, repository, response);
      return;
    }
    const bytes = repository.files[decodeURIComponent(rest.join("/"))];
    if (verb !== "resolve" || bytes === undefined) return refuse(404, "EntryNotFound");
    const hash = sha256Of(bytes);
    response.writeHead(302, {
      location: `${urlOf(this.#cdn)}/${repositoryName}/${rest.join("/")}?signature=secret`,
      "x-linked-etag": `"${hash}"`,
      "x-linked-size": String(bytes.length),
      "x-repo-commit": commit,
    });
    response.end();
  }

  #sendTree(url: URL, repository: FakeRepository, response: ServerResponse): void {
    const entries = Object.entries(repository.files).map(([path, bytes]) => ({
      type: "file",
      path,
      size: bytes.length,
      oid: "0".repeat(40),
      lfs: {
        oid: sha256Of(bytes),
        size: this.claimedBytes ?? bytes.length,
        pointerSize: 100,
      },
    }));
    const start = Number(url.searchParams.get("cursor") ?? 0);
    if (start + PAGE_SIZE < entries.length) {
      url.searchParams.set("cursor", String(start + PAGE_SIZE));
      response.setHeader("link", `<${url.href}>; rel="next"`);
    }
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(entries.slice(start, start + PAGE_SIZE)));
  }

  async #sendBlob(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#note("cdn", request);
    const [, owner, name, ...rest] = new URL(request.url!, this.url).pathname.split("/");
    const bytes = this.corrupt(
      this.repositories.get(`${owner}/${name}`)!.files[decodeURIComponent(rest.join("/"))]!,
    );
    const asked = /^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1];
    const start = this.ignoresRanges ? 0 : Number(asked ?? 0);
    response.writeHead(start === 0 && this.ignoresRanges ? 200 : 206, {
      "content-length": bytes.length - start,
      "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}`,
    });
    response.flushHeaders();
    const dropAfter = this.drops.shift() ?? Infinity;
    for (let at = start; at < bytes.length; at += PIECE_BYTES) {
      if (at - start >= dropAfter) return void response.destroy();
      const piece = bytes.subarray(at, at + PIECE_BYTES);
      if (response.destroyed) return;
      this.numSentBytes += piece.length;
      await new Promise((resolve) => response.write(piece, resolve));
      await new Promise((resolve) => setTimeout(resolve, this.pieceDelayMs));
    }
    response.end();
  }

  #note(host: "hub" | "cdn", request: IncomingMessage): void {
    const { range, authorization } = request.headers;
    this.seen.push({ host, path: request.url!.split("?")[0]!, range, authorization });
  }
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
