// The page speaks to the agent of the computer it is read on, or does not.
import { looks, run, file, download } from "./common.mjs";

export default async (x) => {
  const { page, context, base, data, check } = x;
  const look = looks(x), machine = run(data);
  const offer = page.locator("[data-bridge]");
  const open = async (path) => {
    await page.goto(base + path);
    await page.getByRole("button", { name: "Use the Licet agent on this computer" }).waitFor();
  };
  const ask = async () => {
    await page.getByRole("button", { name: "Use the Licet agent on this computer" }).click();
    await page.getByText(/^licet bridge allow [A-Z2-9]{4}-[A-Z2-9]{4}$/).waitFor();
    return (await page.locator("[data-bridge-command]").innerText()).split(" ").slice(1);
  };
  const says = (text) => offer.getByRole("status").filter({ hasText: text }).waitFor();
  const done = async (text) => {
    await page.waitForURL("**/licenses?done=*");
    await page.getByRole("status").filter({ hasText: text }).waitFor();
  };
  const byFile = async () => {
    check(await page.getByRole("button", { name: "Send the file" }).isVisible(), "the way by file is gone");
    await offer.getByRole("link", { name: "Go on by file instead" }).click();
    check(new URL(page.url()).hash === "#by-file", "nothing leads on to the way by file");
  };

  // What a page asks before it was asked to.
  const asked = [];
  context.on("request", (request) => { if (new URL(request.url()).host !== new URL(base).host) asked.push(request.url()); });

  await page.goto(base);
  await page.getByLabel("Ticket").fill(data.ticket);
  await page.getByRole("button", { name: "Show licenses" }).click();
  await page.waitForURL("**/licenses");
  const activation = `/activate/file?license=${data.studio}&kind=machine`;
  await open(activation);
  check(asked.length === 0, `the page looks for the agent by itself: ${asked}`);

  switch (data.walk) {
    case "refused": {
      await look("1-offer");
      await ask();
      await look("2-code");
      await machine("run", { args: ["bridge", "forget"] });
      await says("You refused it, and nothing was changed.");
      await look("3-refused");
      await byFile();
      check(!(await machine("run", { args: ["list"] })).includes(data.studio), "something was activated all the same");
      break;
    }
    case "nobody": {
      await page.getByRole("button", { name: "Use the Licet agent on this computer" }).click();
      await says("No agent answered");
      await byFile();
      await look("4-nobody");
      break;
    }
    case "denied": {
      await context.grantPermissions([], { origin: base }); // all others are denied
      await page.getByRole("button", { name: "Use the Licet agent on this computer" }).click();
      await says("your browser does not let this page reach it");
      await look("5-denied");
      // The user finishes by file.
      const request = await machine("file", { args: ["request"] });
      await page.setInputFiles("#file", file("my.licet-request", request));
      await page.getByRole("button", { name: "Send the file" }).click();
      const update = await download(page, () => page.getByRole("button", { name: "Save the update" }).click());
      await machine("import", { text: update.text });
      check((await machine("run", { args: ["list"] })).includes(data.studio), "it was not activated by file");
      break;
    }
    case "granted": {
      await context.grantPermissions(["local-network-access"], { origin: base });
      await machine("run", { args: await ask() });
      await done("Activated on this computer.");
      check((await machine("run", { args: ["list"] })).includes(data.studio), "it was not activated");
      break;
    }
    case "consent": {
      await machine("run", { args: await ask() });
      await done("Activated on this computer.");
      await look("6-activated");
      check((await machine("run", { args: ["list"] })).includes(data.studio), "it was not activated");
      await open(`/return?license=${data.studio}`);
      await machine("run", { args: await ask() });
      await done("Returned from this computer.");
      check(!(await machine("run", { args: ["list"] })).includes(data.studio), "it was not returned");
      break;
    }
  }
};
