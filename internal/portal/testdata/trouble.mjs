// What people do who do not do it as it was meant: two tabs, the same twice, out of
// order, the wrong file, a huge one, the button back, a visit that has ended.
import { looks, run, file } from "./common.mjs";

export default async (x) => {
  const { page, context, base, data, check } = x;
  const look = looks(x), ask = run(data);
  const send = async (tab, path) => {
    await tab.setInputFiles("#file", path);
    await tab.getByRole("button", { name: "Send the file" }).click();
    await tab.waitForLoadState();
  };
  const title = (tab) => tab.getByRole("heading", { level: 1 }).innerText();
  await page.goto(base);
  await page.getByLabel("Ticket").fill(data.ticket);
  await page.getByRole("button", { name: "Show licenses" }).click();
  await page.waitForURL("**/licenses");

  // Two tabs, two machines, one license: the first has it, the second is told.
  const way = `${base}/activate/file?license=${data.studio}&kind=machine`;
  const other = await context.newPage();
  await Promise.all([page.goto(way), other.goto(way)]);
  const [first, second] = [file("a.licet-request", await ask("file", { box: "a", args: ["request"] })), file("b.licet-request", await ask("file", { box: "b", args: ["request"] }))];
  await Promise.all([send(page, first), send(other, second)]);
  const both = [await title(page), await title(other)];
  check(both.filter((t) => t === "Your update is ready").length === 1 && both.includes("Nothing of this was done"), `two tabs at once: ${both}`);
  const [winner, loser, box, request] = both[0] === "Your update is ready" ? [page, other, "a", first] : [other, page, "b", second];
  await look("1-in-use");

  // Back, and the same again: the same answer.
  await winner.goto(base + "/licenses");
  await winner.goto(way);
  check((await title(winner)) === "Activate licenses", `a license on its way is offered again: ${await title(winner)}`);
  await winner.getByText("cannot be activated now").first().waitFor();
  await loser.goto(base + "/carry");
  await send(loser, request);
  await loser.getByText("The same answer as before").waitFor();

  // Out of order: a receipt of a machine of which nothing is known, before any update.
  await ask("file", { box: "c", args: ["request"] });
  await loser.goto(base + "/carry");
  await send(loser, file("c.licet-receipt", await ask("file", { box: "c", args: ["receipt"] })));
  check(["Bring a file", "The receipt is here"].includes(await title(loser)), `a receipt before anything: ${await title(loser)}`);

  // The update itself, and a huge file.
  const saved = loser.waitForEvent("download");
  await loser.goto(base + "/carry");
  await send(loser, request);
  await loser.getByRole("button", { name: "Save the update" }).click();
  const update = await (await saved).path();
  await loser.goto(base + "/carry");
  await send(loser, { name: "my.licet-update", mimeType: "application/octet-stream", buffer: (await import("node:fs")).readFileSync(update) });
  await loser.getByText("This is an update: it goes to the machine").first().waitFor();
  await send(loser, data.huge);
  await loser.getByText("This is too large: 1 MB are taken at most").first().waitFor();
  await ask("import", { box, text: (await import("node:fs")).readFileSync(update, "utf8") });
  const receipt = file("d.licet-receipt", await ask("file", { box, args: ["receipt"] }));
  for (let n = 0; n < 2; n++) {
    await loser.goto(base + "/carry");
    await send(loser, receipt);
    check((await title(loser)) === "The receipt is here", `the receipt, time ${n + 1}: ${await title(loser)}`);
  }

  // The same loss reported in two tabs at once, and with the button back after it.
  const report = async (tab) => {
    await tab.goto(`${base}/restore?license=${data.studio}`);
    await tab.getByRole("radio", { name: "The machine is lost or stolen" }).check();
    await tab.getByLabel("In your words").fill("Stolen.");
    await tab.getByRole("button", { name: "See what will happen" }).click();
    await tab.getByRole("checkbox", { name: "I have read the conditions" }).check();
  };
  await Promise.all([report(page), report(other)]);
  await Promise.all([page, other].map(async (tab) => {
    await tab.getByRole("button", { name: "Report the loss and restore" }).click();
    await tab.waitForLoadState();
  }));
  const ends = [await title(page), await title(other)].map((t) => t.split("\n")[0]);
  check(ends.every((t) => t === "Report 1"), `two reports at once: ${ends}`);
  check((await ask("reports", {})) === "1", "two reports were made of one loss");
  const late = page;
  // Back to the preview: the browser shows it again, or sends it again, which changes
  // nothing and leads to the report that was made.
  await late.goBack();
  check(["You get your licenses back at once", "Report 1"].includes((await title(late)).split("\n")[0]), `back: ${await title(late)}`);
  check((await ask("reports", {})) === "1", "the button back reports again");
  await late.goto(`${base}/recovery/1`);
  await late.getByText("What becomes of the old copy").waitFor();
  check((await late.getByRole("link", { name: "Activate now" }).count()) === 1, "the restored license is not offered");

  // A return that was overtaken.
  await late.goto(`${base}/return?license=${data.studio}`);
  await late.getByText("decided or changed in the meantime").waitFor();

  // The visit ends in one tab while the other one goes on.
  await page.goto(`${base}/activate/file?license=${data.studio}&kind=machine`);
  await context.clearCookies();
  await send(page, first);
  check((await title(page)) === "Your licenses" && page.url() === base + "/?again=1", `without a visit: ${await title(page)} at ${page.url()}`);
  await page.getByText("Please enter your ticket").waitFor();
  await look("2-again");
  await other.goto(base + "/restore");
  check(other.url() === base + "/?again=1", `without a visit: ${other.url()}`);
};
