// May this program run? Licet for Node, over the library liblicet.
//
//   import { Session } from "licet";
//
//   const session = new Session(trust, { code: "CAD-PRO", version: "4.2.1" });
//   if (!session.valid) console.error(String(session));
//
// What the answers mean stands in docs/sdk.md. LICET_LIBRARY names the library if
// it does not lie where the system looks for libraries.

import koffi from "koffi";

const INTERFACE = 3;

const names = { darwin: "liblicet.dylib", win32: "licet.dll" };
const library = koffi.load(process.env.LICET_LIBRARY ?? names[process.platform] ?? "liblicet.so");

const free = library.func("void licet_free(void *text)");
const text = koffi.disposable("licet_text", "str", free);
const bounded = (name) => library.func(name, "int32_t", ["uint64_t", "int64_t", koffi.out(koffi.pointer(text))]);
const licet = {
  interface: library.func("int32_t licet_interface()"),
  open: library.func("licet_open", "uint64_t", ["void *", "size_t", "str", koffi.out(koffi.pointer(text))]),
  valid: library.func("int32_t licet_valid(uint64_t session)"),
  feature: library.func("int32_t licet_feature(uint64_t session, str name)"),
  verdict: library.func("licet_verdict", text, ["uint64_t"]),
  sentences: library.func("licet_sentences", text, ["uint64_t"]),
  refresh: bounded("licet_refresh"),
  wait: bounded("licet_wait"),
  enable: bounded("licet_enable"),
  disable: bounded("licet_disable"),
  borrow: library.func("licet_borrow", "int32_t", ["uint64_t", "int64_t", "int64_t", koffi.out(koffi.pointer(text))]),
  return: bounded("licet_return"),
  use: library.func("licet_use", "int32_t", ["uint64_t", "int64_t", "int64_t", koffi.out(koffi.pointer("int64_t")), koffi.out(koffi.pointer(text))]),
  changed: library.func("int32_t licet_changed(uint64_t session, int64_t milliseconds)"),
  activate: library.func("licet_activate", text, ["void *", "size_t", "str", "int64_t", koffi.out(koffi.pointer(text))]),
  request: library.func("licet_activation_request", text, ["void *", "size_t", "str", "int64_t", koffi.out(koffi.pointer(text))]),
  import: library.func("licet_import", text, ["str", "str", "int64_t", koffi.out(koffi.pointer(text))]),
  close: library.func("void licet_close(uint64_t session)"),
};
if (licet.interface() !== INTERFACE) {
  throw new Error(`liblicet has interface ${licet.interface()}; this module needs ${INTERFACE}`);
}

// later calls a function off the main thread.
const later = (call, ...values) =>
  new Promise((resolve, reject) => call.async(...values, (error, answer) => (error ? reject(error) : resolve(answer))));

async function done(call, ...values) {
  const error = [null];
  const text = await later(call, ...values, error);
  if (text === null) throw new Error(error[0] ?? "it was not done");
  const answer = JSON.parse(text);
  if (answer.code !== "done") throw Object.assign(new Error(answer.message), { code: answer.code, hint: answer.hint });
  return answer;
}

/**
 * Redeem tickets on this machine, online. Resolved with licenses (ids that came in),
 * removed and refused (what a ticket could not give, each with code and message);
 * rejected with a code where nothing was done: ticket_unknown, central_unreachable, …
 * Called again it goes on where it was.
 */
export function activate(trust, tickets, { home, milliseconds = 60000 } = {}) {
  return done(licet.activate, trust, trust.length, JSON.stringify({ tickets, home }), milliseconds);
}

/** The same without a network: the text of a file for the vendor's page. */
export async function activationRequest(trust, tickets, { home, milliseconds = 60000 } = {}) {
  return (await done(licet.request, trust, trust.length, JSON.stringify({ tickets, home }), milliseconds)).request;
}

/** Take in the file that the vendor answered; as activate, with the receipt. */
export function importFile(text, { home, milliseconds = 60000 } = {}) {
  return done(licet.import, text, JSON.stringify({ home }), milliseconds);
}

/** One program's view of its license. */
export class Session {
  #number;

  /**
   * @param {Uint8Array} trust the content of the vendor's trust file
   * @param {object} product the words of licet_open: code, version, build_date, features, home, refresh, servers, wait, reduced
   */
  constructor(trust, product) {
    const error = [null];
    this.#number = licet.open(trust, trust.length, JSON.stringify(product), error);
    if (Number(this.#number) === 0) throw new Error(error[0] ?? "liblicet did not open a session");
  }

  /** Whether the program may run now; answered from memory. */
  get valid() {
    return licet.valid(this.#number) === 1;
  }

  /** Whether the program may run now and the license has a feature. */
  feature(name) {
    return licet.feature(this.#number, name) === 1;
  }

  /** The whole answer: valid, code, reasons, warnings, hint, valid_until, … */
  get verdict() {
    const answer = licet.verdict(this.#number);
    if (answer === null) throw new Error("the session is closed");
    return JSON.parse(answer);
  }

  async #within(call, ...values) {
    const error = [null];
    if ((await later(call, this.#number, ...values, error)) !== 1) throw new Error(error[0] ?? "it was not done");
  }

  /** Look again now; rejected if it could not be told what is there. */
  refresh(milliseconds = 30000) {
    return this.#within(licet.refresh, milliseconds);
  }

  /** Wait for a place in the queue to become a seat; rejected if none came. */
  wait(milliseconds) {
    return this.#within(licet.wait, milliseconds);
  }

  /** Take a seat, where the session runs reduced. */
  enable(milliseconds = 30000) {
    return this.#within(licet.enable, milliseconds);
  }

  /** Give the seat back and go on reduced. */
  disable(milliseconds = 30000) {
    return this.#within(licet.disable, milliseconds);
  }

  /** Take the license along for so many seconds, with no break. */
  borrow(seconds, milliseconds = 30000) {
    return this.#within(licet.borrow, seconds, milliseconds);
  }

  /** Give back what was borrowed. */
  return(milliseconds = 30000) {
    return this.#within(licet.return, milliseconds);
  }

  /**
   * Take units of a license that is sold by units; resolved with how many are left
   * when they are counted on the disk. Rejected, and none taken, where fewer are left.
   * A license that counts none has about 2 ** 63 left.
   */
  async use(units = 1, milliseconds = 30000) {
    const left = [0];
    await this.#within(licet.use, units, milliseconds, left);
    return Number(left[0]);
  }

  /** Wait until the verdict may have changed; false if the time went by. */
  async changed(milliseconds) {
    const answer = await later(licet.changed, this.#number, milliseconds);
    if (answer < 0) throw new Error("the session is closed");
    return answer === 1;
  }

  /** End the session: nothing is valid any more. */
  close() {
    licet.close(this.#number);
    this.#number = 0;
  }

  toString() {
    return licet.sentences(this.#number) ?? "The session is closed.";
  }
}
