import { resolveModel } from "../../dist/models/index.js";

const { path } = await resolveModel(process.argv[2]);
process.send(path, () => process.exit());
