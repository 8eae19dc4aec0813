/** A file of a repository on the hub. */
export interface HubFile {
  /** Within the repository, with slashes. */
  readonly path: string;
  readonly fileBytes: number;
  /** Hex digits that name its content: SHA-256 of large files, git's SHA-1 of small ones. */
  readonly contentHash: string;
}

const CONTENT_HASH = /^([0-9a-f]{64}|[0-9a-f]{40})$/;

/** Names come from a server and become paths on this machine: what could lead elsewhere is no file for us. */
export function isSafeFile(file: HubFile): boolean {
  return (
    isSafePath(file.path) &&
    CONTENT_HASH.test(file.contentHash) &&
    Number.isSafeInteger(file.fileBytes) &&
    file.fileBytes >= 0
  );
}

/** No part of it is empty, "." or "..", and there is nothing that Windows would read as a root. */
export function isSafePath(path: string): boolean {
  return !/[\\:\0]/.test(path) && path.split("/").every((part) => !["", ".", ".."].includes(part));
}
