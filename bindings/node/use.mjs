// Takes units of a license: node use.mjs TRUST-FILE PRODUCT UNITS

import { readFileSync } from "node:fs";
import { Session } from "./licet.mjs";

const session = new Session(readFileSync(process.argv[2]), { code: process.argv[3] });
try {
  console.log(await session.use(Number(process.argv[4])), "left");
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  session.close();
}
