// Prints the closing line and fails when a test was skipped or none ran.
import { readFileSync } from "node:fs";

const results = JSON.parse(readFileSync(process.argv[2], "utf8"));
const skipped = results.numPendingTests + results.numTodoTests;
console.log(
  `${results.numPassedTests} passed, ${results.numFailedTests} failed, ${skipped} skipped`,
);
process.exit(skipped > 0 || results.numPassedTests === 0 ? 1 : 0);
