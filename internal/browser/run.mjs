// Looks at pages for package browser: a job on standard input, one line of JSON
// on standard output for each thing that is wrong, "looked at ..." at the end.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const job = JSON.parse(readFileSync(0, "utf8"));
const found = (where, what) => process.stdout.write(JSON.stringify({ where, what }) + "\n");
const end = setTimeout(() => {
  process.stderr.write("it took longer than allowed\n");
  process.exit(1);
}, job.within);

const browser = await chromium.launch({
  executablePath: job.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--hide-scrollbars", ...(job.args ?? [])],
});

// open makes a page that tells what goes wrong on it.
async function open(where, address, { width, theme, plain, cookies, hosts, noisy }) {
  const context = await browser.newContext({
    viewport: { width, height: width < 600 ? 844 : 900 },
    colorScheme: theme, javaScriptEnabled: !plain, reducedMotion: "reduce",
    locale: "en-US", timezoneId: "UTC",
  });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const host = new URL(address).host;
  await context.addCookies(Object.entries(cookies ?? {}).map(([name, value]) => ({ name, value, url: address })));
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  const own = (url) => url.host === host || url.protocol === "data:" || url.protocol === "blob:";
  if (hosts) {
    // A request that is stopped to be looked at has no real preflight.
    context.on("request", (request) => {
      const url = new URL(request.url());
      if (!own(url) && !hosts.includes(url.host)) found(where, `asks another host: ${url.origin}`);
    });
  } else {
    await context.route("**/*", (route) => {
      const url = new URL(route.request().url());
      if (own(url)) return route.continue();
      found(where, `asks another host: ${url.origin}`);
      return route.abort();
    });
  }
  page.on("pageerror", (error) => found(where, `script failed: ${error.message}`));
  page.on("console", (message) => {
    if (noisy || message.type() !== "error" && message.type() !== "warning") return;
    // A page that is an error page itself is told by its status.
    if (/Failed to load resource/.test(message.text()) && message.location().url === page.url()) return;
    found(where, `console: ${message.text()} (${message.location().url})`);
  });
  return { context, page };
}

// see checks what must hold of every page, by the rules of accessibility that
// are named; none are looked at without JavaScript, where axe's timers never
// come.
async function see(page, where, rules = everything) {
  const over = await page.evaluate(() => {
    const root = document.documentElement;
    if (root.scrollWidth <= root.clientWidth) return "";
    const wide = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1);
    return wide.slice(0, 3).map((e) => `${e.tagName.toLowerCase()}.${e.getAttribute("class") ?? ""}`).join(", ") || "?";
  });
  if (over) found(where, `scrolls sideways: ${over}`);
  if (!rules) return;
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
  const { violations } = await page.evaluate((runOnly) => globalThis.axe.run(document, { runOnly }), rules);
  for (const v of violations) {
    for (const n of v.nodes.slice(0, 4)) {
      found(where, `${v.id}: ${n.target.join(" ")}: ${n.failureSummary.replace(/\s+/g, " ")}`);
    }
  }
}

const everything = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const colors = { type: "rule", values: ["color-contrast", "link-in-text-block"] };

// rulesAt is what can differ at a width and in a theme: everything at the
// narrowest, and in a long run at the widest; colors alone in a further theme.
function rulesAt(width, theme) {
  const end = width === job.widths[0] || (job.long && width === job.widths.at(-1));
  if (theme === job.themes[0]) return end ? everything : null;
  return width === job.widths[0] ? colors : null;
}

const shoot = async (page, name) => {
  if (job.shots) await page.screenshot({ path: join(job.shots, `${name}.png`), fullPage: true });
};

// look opens a page once and looks at it in every width and theme.
async function look(p) {
  const first = `${p.name}${p.plain ? "-plain" : ""}`;
  const { context, page } = await open(first, p.url, { width: job.widths[0], theme: job.themes[0], plain: p.plain, cookies: p.cookies });
  try {
    const response = await page.goto(p.url, { waitUntil: "load" });
    if (response.status() !== p.status) found(first, `status ${response.status()}, want ${p.status}`);
    for (const theme of job.themes) {
      await page.emulateMedia({ colorScheme: theme });
      await page.evaluate(() => document.getAnimations().forEach((a) => a.finish()));
      for (const width of job.widths) {
        await page.setViewportSize({ width, height: width < 600 ? 844 : 900 });
        const name = `${first}-${width}-${theme}`;
        await shoot(page, name);
        await see(page, name, p.plain ? null : rulesAt(width, theme));
      }
    }
  } catch (error) {
    found(first, String(error));
  } finally {
    await context.close();
  }
}

async function walk(w) {
  const { context, page } = await open(w.name, w.base, { width: w.width || 1440, theme: "light", plain: w.plain, hosts: w.hosts, noisy: w.noisy });
  try {
    const { default: steps } = await import(pathToFileURL(w.file));
    await steps({
      page, context, base: w.base, data: w.data,
      shot: (name) => shoot(page, `${w.name}-${name}`),
      see: (name) => see(page, `${w.name}, ${name}`, w.plain ? null : everything),
      check: (condition, words) => { if (!condition) found(w.name, words); },
    });
  } catch (error) {
    found(w.name, String(error));
  } finally {
    await context.close();
  }
}

const work = [];
for (const page of job.pages ?? []) work.push(() => look(page));
for (const w of job.walks ?? []) work.push(() => walk(w));
const total = work.length;
await Promise.all([0, 1].map(async () => {
  for (let next = work.shift(); next; next = work.shift()) await next();
}));
await browser.close();
clearTimeout(end);
process.stdout.write(`looked at ${total}\n`);
