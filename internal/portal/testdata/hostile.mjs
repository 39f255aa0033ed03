// Hostile text in every field is shown and never runs.
import { run, file } from "./common.mjs";

export default async ({ page, base, data, check, shot, see }) => {
  const ask = run(data);
  page.on("dialog", async (d) => { check(false, `a dialog: ${d.message()}`); await d.dismiss(); });
  const quiet = async (where) => {
    check(!(await page.evaluate(() => globalThis.ran)), `it ran on ${where}`);
    check((await page.locator("main img, main iframe, main object, main embed, main base, main meta, main style").count()) === 0, `an element got in on ${where}`);
    check(page.url().startsWith(base), `it leads to ${page.url()}`);
    await see(where);
  };
  await page.goto(base);
  for (const payload of data.payloads) {
    await page.goto(base);
    await page.getByLabel("Ticket").fill(payload);
    await page.getByRole("button", { name: "Show licenses" }).click();
    check(!(await page.evaluate(() => globalThis.ran)), `the ticket field ran ${payload}`);
  }
  await quiet("start");
  await page.getByLabel("Ticket").fill(data.ticket);
  await page.getByRole("button", { name: "Show licenses" }).click();
  await page.waitForURL("**/licenses");
  await quiet("licenses");
  await shot("licenses");
  for (const path of ["/activate", "/restore", "/return?license=" + data.license, "/activate/file?license=%22%3E%3Cscript%3Eran=1%3C/script%3E", "/%3Cscript%3Eran=1%3C/script%3E", "/recovery/%3Cimg%20src=x%20onerror=ran=1%3E"]) {
    await page.goto(base + path);
    check(!(await page.evaluate(() => globalThis.ran)), `it ran on ${path}`);
  }
  for (const [n, payload] of data.payloads.entries()) {
    await page.goto(base + "/restore");
    await page.locator('input[name="license"]:enabled').first().check();
    await page.getByRole("radio", { name: "The machine is lost or stolen" }).check();
    await page.getByLabel("In your words").fill(payload);
    await page.getByLabel("Evidence").fill(payload.slice(0, 500));
    await page.getByRole("button", { name: "See what will happen" }).click();
    check(!(await page.evaluate(() => globalThis.ran)), `the reason ran ${payload}`);
    if (n === 0) {
      await quiet("foreseen");
      await shot("foreseen");
    }
  }
  await page.getByRole("checkbox", { name: "I have read the conditions" }).check();
  await page.getByRole("button", { name: "Report the loss" }).click();
  await page.waitForURL("**/recovery/*");
  const number = Number(page.url().split("/").pop());
  const all = data.payloads.join("\n");
  await ask("ask", { number, text: all });
  await page.reload();
  await page.getByLabel("Your answer").fill(all);
  await page.getByRole("button", { name: "Send" }).click();
  await quiet("recovery");
  await shot("recovery");
  await page.goto(base + "/carry");
  await page.setInputFiles("#file", { name: '"><img src=x onerror=ran=1>.licet-request', mimeType: "text/html", buffer: Buffer.from("<script>ran=1</script>") });
  await page.getByRole("button", { name: "Send the file" }).click();
  await quiet("file name");
  await shot("file");
};
