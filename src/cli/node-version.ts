/** As `engines` in package.json, which npm only warns of. */
const LEAST = { major: 20, minor: 19 };

/** @returns why this version of Node.js cannot run warmkv, in a sentence; undefined when it can */
export function nodeRefusal(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isEnough = major > LEAST.major || (major === LEAST.major && minor >= LEAST.minor);
  if (isEnough) return undefined;
  return `warmkv needs Node.js ${LEAST.major}.${LEAST.minor} or later, and this is ${version}`;
}
