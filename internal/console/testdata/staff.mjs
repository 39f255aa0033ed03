// A day at the console: sign in, decide, withdraw with a preview, block, search,
// sign out.
export default async ({ page, base, data, shot, see, check }) => {
  const button = (name) => page.getByRole("button", { name, exact: true });
  const link = (name) => page.getByRole("main").getByRole("link", { name, exact: true });

  await page.goto(`${base}/console/licenses`);
  check(page.url().includes("/console/sign-in"), "nobody is led to the door");
  await page.getByLabel("Name").fill("jonas.weil");
  await page.getByLabel("Password").fill("wrong, wrong, wrong");
  await button("Sign in").click();
  check(await page.getByText("The name or the password is wrong").count() > 0, "a wrong password is not said");
  await see("wrong password");
  await shot("wrong");
  await page.getByLabel("Password").fill(data.password);
  await button("Sign in").click();
  await page.waitForURL("**/console/licenses");

  // A recovery, from the queue.
  await page.goto(`${base}/console`);
  await page.getByRole("link", { name: "Hartmann Precision Ltd" }).first().click();
  await page.waitForURL(`**/console/recoveries/${data.waiting}`);
  check(await page.getByText("Laptop was stolen").count() > 0, "the reason is not there");
  await page.getByRole("radio", { name: "Refuse" }).check();
  await button("Send this decision").click();
  check(await page.getByRole("link", { name: "Say why you refuse" }).count() > 0, "the missing reason is not said");
  await see("without a reason");
  await shot("without-reason");
  await page.getByRole("radio", { name: "Approve" }).check();
  await page.getByLabel("Reason or question").fill("Known customer.");
  await page.getByLabel("How the old copy is stopped").selectOption("block");
  await button("Send this decision").click();
  await page.getByText("The recovery is approved.").waitFor();
  check(await page.getByText("Approved by jonas.weil").count() > 0, "who decided is not said");
  await see("approved");
  await shot("approved");

  // A license is withdrawn after a look at what will happen.
  await page.goto(`${base}/console/licenses/${data.lived}`);
  await link("Withdraw").click();
  check(await page.getByText("loses it at its next contact").count() > 0, "the preview does not say what happens");
  check(await page.getByRole("main").getByText("Hartmann Precision Ltd").count() > 0, "the preview does not say to whom");
  await button("Withdraw this license").click();
  check(await page.getByRole("link", { name: "Give a reason" }).count() > 0, "a reason is not asked for");
  await page.getByLabel("Reason").fill("Exchanged.");
  await button("Withdraw this license").click();
  await page.getByText("The withdrawal is ordered.").waitFor();
  await see("withdrawn");
  await link("Take back what is pending").click();
  await page.getByLabel("Reason").fill("A mistake.");
  await button("Take it back").click();
  await page.getByText("What was pending is taken back.").waitFor();

  // Jonas may not block, and is told so.
  await page.goto(`${base}/console/containers/${data.holder}`);
  check(await link("Block").count() === 0, "Jonas is offered to block");
  await page.getByRole("button", { name: "Sign out" }).first().click();
  await page.waitForURL("**/console/sign-in");

  // Maren blocks it.
  await page.getByLabel("Name").fill("maren.okafor");
  await page.getByLabel("Password").fill(data.password);
  await button("Sign in").click();
  await page.goto(`${base}/console/containers/${data.holder}`);
  if (await link("Block").count()) {
    await link("Block").click();
    await page.getByLabel("Reason").fill("Stolen.");
    await button("Block this container").click();
    await page.getByText("The container is blocked.").waitFor();
  } else {
    check(await page.getByText("This container is blocked").count() > 0, "the approval with a block did not block");
    await link("Unblock").click();
    await page.getByLabel("Reason").fill("Found.");
    await button("Unblock this container").click();
    await page.getByText("The container is unblocked.").waitFor();
  }
  await see("container");
  await page.goto(`${base}/console/containers/${data.holder}/push`);
  const loaded = page.waitForEvent("download");
  await button("Make and download").click();
  check((await loaded).suggestedFilename().endsWith(".licet-update"), "the update has another name");

  // A ticket finds its order and stands in no address.
  await page.goto(`${base}/console/search`);
  await page.locator("#search-q").fill(data.ticket.toLowerCase());
  await button("Search").click();
  await page.waitForURL(`**/console/orders/${data.order}`);
  check(!(await page.content()).includes(data.ticket), "the ticket is shown to who did not ask");
  await button("Show the ticket").click();
  check((await page.content()).includes(data.ticket), "the ticket is not shown");
  check(!page.url().includes(data.ticket.slice(0, 5)), "the ticket is in the address");
  await see("ticket");
  await shot("ticket");
  await page.goto(`${base}/console/search`);
  await page.locator("#search-q").fill("kestrel");
  await button("Search").click();
  await page.waitForURL("**/search?q=kestrel");
  check(await page.getByRole("link", { name: "Kestrel Robotics" }).count() > 0, "the customer is not found");

  await page.getByRole("button", { name: "Sign out" }).first().click();
  await page.waitForURL("**/console/sign-in");
  await page.goBack();
  await page.goto(`${base}/console/orders/${data.order}`);
  check(page.url().includes("/console/sign-in"), "the session outlives the sign-out");
};
