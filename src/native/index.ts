import koffi from "koffi";

/**
 * Stacks on which native code runs. Koffi's defaults are made for small C functions; llama.cpp builds
 * graphs and splits text with regular expressions, which recurse. Must be set before the first
 * library is loaded, so every file that loads one takes koffi from here.
 */
const SYNC_STACK_BYTES = 8 * 1024 * 1024;
const ASYNC_STACK_BYTES = 2 * 1024 * 1024;

koffi.config({ sync_stack_size: SYNC_STACK_BYTES, async_stack_size: ASYNC_STACK_BYTES });

export { koffi };
