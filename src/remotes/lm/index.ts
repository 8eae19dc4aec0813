export { openLmRemote } from "./lm-remote.ts";
