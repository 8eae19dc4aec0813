import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Certificates {
  readonly ca: string;
  readonly caFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** An authority of its own and a certificate of its for 127.0.0.1. */
export async function makeCertificates(directory: string): Promise<Certificates> {
  const newKey = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
  const commands = [
    `req -x509 ${newKey} -subj /CN=authority -keyout ca.key -out ca.crt`,
    `req -x509 ${newKey} -subj /CN=127.0.0.1 -keyout server.key -out server.crt ` +
      "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE " +
      "-CA ca.crt -CAkey ca.key",
  ];
  for (const command of commands) await run("openssl", command.split(" "), { cwd: directory });
  const file = (name: string): string => join(directory, name);
  return {
    ca: await readFile(file("ca.crt"), "utf8"),
    caFile: file("ca.crt"),
    certificateFile: file("server.crt"),
    keyFile: file("server.key"),
  };
}
