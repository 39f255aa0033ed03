// Programs that call themselves whatever they like: nothing of it runs, is asked for
// or takes a page away.
export default async ({ page, base, data, check }) => {
  page.on("dialog", (d) => { check(false, `a dialog: ${d.message()}`); d.dismiss(); });
  const some = encodeURIComponent(data.payloads[1]);
  for (const path of ["/", "/sessions", "/loans", "/usage", "/access", `/sessions?q=${some}`, `/access?product=${some}&user=${some}&address=${some}`, `/usage?product=${some}`]) {
    await page.goto(base + path);
    const found = await page.evaluate(() => ({
      hit: globalThis.hit, host: location.host,
      strange: document.querySelectorAll("main script, main iframe, main style, main base, main meta, main img, main [onerror], main [onload], main [onfocus], main a[href^='javascript']").length,
      forms: [...document.forms].filter((f) => new URL(f.action).host !== location.host).length,
      over: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    }));
    check(found.hit === undefined, `${path}: it ran`);
    check(base.endsWith(found.host), `${path}: led to ${found.host}`);
    check(found.strange === 0 && found.forms === 0 && !found.over, `${path}: ${JSON.stringify(found)}`);
  }
};
