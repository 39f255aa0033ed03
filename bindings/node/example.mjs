// A program that asks whether it may run: node example.mjs TRUST-FILE PRODUCT [FEATURE]

import { readFileSync } from "node:fs";
import { Session } from "./licet.mjs";

const [file, code, ...features] = process.argv.slice(2);
if (!code) {
  console.error("usage: node example.mjs TRUST-FILE PRODUCT [FEATURE]");
  process.exit(2);
}
const session = new Session(readFileSync(file), { code, version: "4.2.1" }); // a real program carries the file in itself
console.log(String(session));
for (const name of features) console.log(`${name}: ${session.feature(name) ? "yes" : "no"}`);
process.exitCode = session.valid ? 0 : 1;
session.close();
