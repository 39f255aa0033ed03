// Redeems tickets, online and by file: node activate.mjs TRUST-FILE CENTRAL TICKET TICKET HOME OTHER-HOME

import assert from "node:assert";
import { readFileSync } from "node:fs";
import { Session, activate, activationRequest, importFile } from "./licet.mjs";

const [file, central, one, two, home, other] = process.argv.slice(2);
const trust = readFileSync(file);

const send = async (path, body) => {
  const answer = await fetch(central + path, { method: "POST", body, headers: { "Content-Type": "application/octet-stream" } });
  assert(answer.ok, `${path}: ${answer.status}`);
  return answer.text();
};

await assert.rejects(activate(trust, [one.slice(0, -2) + "!!"], { home }), { code: "ticket_unknown" });
await assert.rejects(activate(Buffer.from("no trust file"), [one], { home }), /trust file/);
await assert.rejects(activate(trust, [one], { home, milliseconds: 0 }));

const done = await activate(trust, [one.toLowerCase()], { home });
assert(done.licenses.length === 1 && done.refused.length === 0 && done.receipt === undefined, JSON.stringify(done));
const here = new Session(trust, { code: "CAD-PRO", home });
assert(here.valid && here.verdict.license === done.licenses[0], String(here));
here.close();
assert.equal((await activate(trust, [one], { home })).licenses.length, 0);
const taken = await activate(trust, [one], { home: other });
assert.equal(taken.refused[0].code, "license_in_use");

// By file, on a machine with no network.
const update = await send("/gateway/v1/program", await activationRequest(trust, [two], { home: other }));
await assert.rejects(importFile(update, { home }), { code: "wrong_container" });
await assert.rejects(importFile("no file of ours", { home: other }), { code: "wrong_file" });
const came = await importFile(update, { home: other });
assert.equal(came.licenses.length, 1);
await send("/gateway/v1/receipt", came.receipt);
assert.equal((await importFile(update, { home: other })).licenses.length, 0);
const there = new Session(trust, { code: "CAD-PRO", home: other });
assert(there.valid, String(there));
there.close();
console.log("activated online and by file");
