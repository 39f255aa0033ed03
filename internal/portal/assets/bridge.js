// Lets the agent on this computer do what the page would otherwise do by files. It
// looks for the agent when it is asked to, never by itself; whatever fails, one
// sentence says so, and the steps by file are there as before.
"use strict";
(() => {
  const root = document.querySelector("[data-bridge]");
  if (!root || !globalThis.fetch || !globalThis.AbortSignal?.timeout) return;
  const part = (name) => root.querySelector(`[data-bridge-${name}]`);
  const base = `http://127.0.0.1:${Number(root.dataset.port)}`;
  const words = (text) => (text ?? "").split(" ").filter(Boolean);
  const said = part("said");
  const say = (name, failed) => {
    said.textContent = root.dataset[`said${name}`];
    said.classList.toggle("tone-warning", Boolean(failed));
  };

  // Fails ends the way over the agent with a sentence.
  class Fails extends Error {
    constructor(name) {
      super(name);
      this.sentence = name;
    }
  }

  let token = "";
  async function call(path, body, seconds) {
    const headers = { "Content-Type": "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    let answer;
    try {
      answer = await fetch(base + path, {
        method: "POST", mode: "cors", credentials: "omit", cache: "no-store", redirect: "error",
        referrerPolicy: "no-referrer", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(seconds * 1000),
      });
    } catch {
      throw new Fails("None"); // no agent, no bridge, another origin, or the browser does not let us
    }
    if (answer.status === 401) throw new Fails("Ended");
    if (!answer.ok) throw new Fails("Failed");
    try {
      return await answer.json();
    } catch {
      throw new Fails("Failed");
    }
  }

  const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

  // pair asks for the user's consent, which is given where no page can reach.
  async function pair() {
    say("Looking");
    const asked = await call("/v1/pair", { vendor: root.dataset.vendor }, 60);
    part("command").textContent = asked.command;
    part("consent").hidden = false;
    say("Code");
    try {
      for (;;) {
        await pause(1);
        const now = await call("/v1/wait", { id: asked.id }, 15);
        if (now.state === "allowed") {
          token = now.token;
          return;
        }
        if (now.state === "refused") throw new Fails("Refused");
        if (now.state !== "waiting") throw new Fails("Ended");
      }
    } finally {
      part("consent").hidden = true;
      part("command").textContent = "";
    }
  }

  // choose finds the container; where there are several, the user does.
  async function choose() {
    const { containers } = await call("/v1/containers", {}, 30);
    if (root.dataset.what === "return") {
      const held = containers.find((c) => words(root.dataset.licenses).every((l) => c.licenses.includes(l)));
      if (!held) throw new Fails("Elsewhere");
      return held.serial;
    }
    const usable = containers.filter((c) => c.status === "ok" && c.kind === "machine");
    if (usable.length === 0) return containers.length === 0 ? "" : "new";
    if (usable.length === 1) return usable[0].serial;
    const list = part("choose").querySelector("select");
    list.replaceChildren(...usable.map((c) => new Option(c.serial, c.serial)));
    part("choose").hidden = false;
    say("Choose");
    list.focus();
    await new Promise((done) => part("go").addEventListener("click", done, { once: true }));
    part("choose").hidden = true;
    return list.value;
  }

  async function run() {
    await pair();
    const container = await choose();
    say("Working");
    const licenses = words(root.dataset.licenses);
    const amounts = words(root.dataset.amounts).map((text) => {
      const [license, seats] = text.split("=");
      return { license, seats: Number(seats) };
    });
    const asked = amounts.length > 0 ? { licenses, amounts, container } : { licenses, container };
    const done = root.dataset.what === "return"
      ? await call("/v1/return", asked, 240)
      : await call("/v1/activate", { tickets: words(root.dataset.tickets), ...asked }, 240);
    const good = ["done", "already_applied"];
    const refused = (done.outcomes ?? []).filter((o) => !good.includes(o.code));
    if (refused.length > 0) throw new Fails((done.applied ?? []).length > 0 ? "Partly" : "Failed");
    location.assign(`/licenses?done=${root.dataset.what}`);
  }

  const start = part("start");
  root.hidden = false;
  start.addEventListener("click", async () => {
    start.disabled = true;
    for (const name of ["else", "done"]) part(name).hidden = true;
    root.setAttribute("aria-busy", "true");
    try {
      await run();
    } catch (error) {
      const sentence = error instanceof Fails ? error.sentence : "Failed";
      say(sentence, true);
      part("choose").hidden = true;
      part("done").hidden = sentence !== "Partly";
      part("else").hidden = false;
      start.disabled = false;
      start.focus();
    } finally {
      token = "";
      root.removeAttribute("aria-busy");
    }
  });
})();
