// Takes a seat of a license server, along, and back: node network.mjs TRUST-FILE ADDRESS

import assert from "node:assert";
import { readFileSync } from "node:fs";
import { Session } from "./licet.mjs";

const trust = readFileSync(process.argv[2]);
const open = (servers) => new Session(trust, { code: "NET", servers });
const servers = [process.argv[3]];

const first = open(servers);
assert(first.valid && first.verdict.place === "network", String(first));
const second = open(servers);
assert.equal(second.verdict.code, "no_seat_free");
await assert.rejects(second.wait(200));
await first.disable();
await second.enable();
assert(second.valid && !first.valid, String(second));
second.close();
await first.enable();
await first.borrow(3600);
assert(first.valid && first.verdict.place === "borrowed", String(first));
first.close();

const alone = open([]);
assert(alone.valid && alone.verdict.place === "borrowed", String(alone));
alone.close();

const last = open(servers);
await last.return();
assert(last.valid && last.verdict.place === "network", String(last));
last.close();
assert(!open([]).valid);
console.log("taken, taken along, given back");
