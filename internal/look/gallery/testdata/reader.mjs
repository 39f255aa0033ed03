// A reader with a keyboard and JavaScript.
export default async ({ page, base, shot, see, check }) => {
  await page.goto(`${base}/choose`);

  // The first key leads past the navigation.
  await page.keyboard.press("Tab");
  await shot("skip");
  await page.keyboard.press("Enter");
  check(page.url().endsWith("#main"), "the skip link leads nowhere");

  // A code is copied with one click, and that is said.
  await page.locator("[data-copy]").first().click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  check(copied === "K7WQM-3XHTA-9PZ4R-MMD2C-W8TYB", `copied ${copied}`);
  await page.locator("#said", { hasText: "Copied." }).waitFor({ state: "attached" });

  // The theme changes at once and is kept.
  const kept = page.waitForResponse((r) => r.url().endsWith("/look/preference"));
  await page.getByRole("button", { name: "Dark" }).click();
  check((await page.locator("html").getAttribute("data-theme")) === "dark", "the theme did not change");
  await kept;
  await page.reload();
  check((await page.locator("html").getAttribute("data-theme")) === "dark", "the theme was not kept");
  await see("dark by choice");
  await page.getByRole("button", { name: "As the system" }).click();
  check((await page.locator("html").getAttribute("data-theme")) === null, "the system's theme is not back");

  // Licenses are picked with the keyboard.
  await page.getByRole("checkbox", { name: "Toolpath Optimizer" }).focus();
  await page.keyboard.press("Space");
  check(await page.getByRole("checkbox", { name: "Toolpath Optimizer" }).isChecked(), "the space bar does not pick");

  // What went wrong has the focus and leads to its field.
  await page.goto(`${base}/wrong`);
  check(await page.evaluate(() => document.activeElement.hasAttribute("data-errors")), "the errors have no focus");
  await page.getByRole("link", { name: "Check the second ticket" }).click();
  check(await page.evaluate(() => location.hash === "#tickets"), "the error does not lead to its field");

  // A whole row of a table leads to its page, and its copy button does not.
  await page.goto(`${base}/console/recoveries`);
  await page.locator("tr.leads [data-copy]").first().click();
  check(page.url().endsWith("/console/recoveries"), "copying left the page");
  await page.locator("tr.leads td").nth(1).click({ force: true }); // the link lies above its row
  await page.waitForURL("**/console/recoveries/1042");

  // On a phone the menu opens, and Escape closes it.
  await page.setViewportSize({ width: 390, height: 844 });
  await page.getByText("Menu").click();
  await see("menu");
  await shot("menu");
  await page.keyboard.press("Escape");
  check(!(await page.locator("details.menu").getAttribute("open")), "Escape does not close the menu");
};
