// An administrator on the server's machine, without JavaScript: reads, signs in,
// tries a rule, ends a session, signs out.
export default async ({ page, base, data, see, shot, check }) => {
  const button = (name) => page.getByRole("main").getByRole("button", { name, exact: true });
  await page.goto(`${base}/sessions?q=hartmann`);
  await page.getByRole("row", { name: /ann\.hartmann/ }).getByRole("link", { name: /^End/ }).click();
  check(page.url().includes("/sign-in"), "a change needs no sign-in");
  await page.getByLabel("Token of the server").fill("not the token");
  await button("Sign in").click();
  check(await page.getByText("That is not the token of this server").count() > 0, "a wrong token is not said");
  await see("wrong token");
  await page.getByLabel("Token of the server").fill(data.token);
  await button("Sign in").click();
  check(page.url().endsWith("/end"), "the door does not lead back");
  await page.getByLabel("Reason").fill("She went home");
  await button("End the session").click();
  check(await page.getByText("The session was ended").count() > 0, "it is not said that the session was ended");
  check(await page.getByText("ann.hartmann").count() === 0, "the session is still there");
  await shot("ended");

  await page.goto(`${base}/access`);
  await page.getByLabel("User").fill("guest");
  await page.getByLabel("Address").fill("192.168.1.4");
  await button("Try").click();
  check(await page.getByText("Line 3 decides").count() > 0, "the rule that decides is not named");
  await page.goto(`${base}/?refresh=on`);
  check(await page.getByRole("link", { name: "Stop refreshing" }).count() === 1, "refreshing cannot be stopped");
  await page.getByRole("button", { name: "Sign out" }).last().click();
  await page.goto(`${base}/sessions`);
  check(await page.getByText("Administrator", { exact: true }).count() === 0, "still signed in");
};
