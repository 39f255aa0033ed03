// Every page with hostile text in every field: nothing of it runs, is asked for
// or takes the page away.
export default async ({ page, base, data, check }) => {
  page.on("dialog", (d) => { check(false, `a dialog: ${d.message()}`); d.dismiss(); });
  await page.goto(`${base}/console/sign-in`);
  await page.getByLabel("Name").fill("maren");
  await page.getByLabel("Password").fill(data.password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL("**/console/recoveries");
  for (const path of data.paths) {
    const response = await page.goto(base + path);
    check([200, 403, 404, 409, 422].includes(response.status()), `${path}: ${response.status()}`);
    const found = await page.evaluate(() => ({
      hit: globalThis.hit, host: location.host,
      strange: document.querySelectorAll("main script, main iframe, main style, main base, main meta, main img, main [onerror], main [onload], main [onfocus], main a[href^='javascript']").length,
      forms: [...document.forms].filter((f) => new URL(f.action).host !== location.host).length,
      shown: getComputedStyle(document.body).display,
    }));
    check(found.hit === undefined, `${path}: it ran`);
    check(base.endsWith(found.host), `${path}: led to ${found.host}`);
    check(found.strange === 0 && found.forms === 0 && found.shown !== "none", `${path}: ${JSON.stringify(found)}`);
    const over = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    check(!over, `${path} scrolls sideways`);
  }
};
