// A reader without JavaScript.
export default async ({ page, base, shot, check }) => {
  await page.goto(`${base}/choose?a=1`);
  check((await page.locator("[data-copy]:visible").count()) === 0, "a button that cannot work is shown");
  await page.getByRole("button", { name: "Deutsch" }).click();
  check(page.url() === `${base}/choose?a=1`, `the language leads to ${page.url()}`);
  check((await page.locator("html").getAttribute("lang")) === "de", "the language did not change");
  await page.getByRole("button", { name: "Dunkel" }).click();
  check((await page.locator("html").getAttribute("data-theme")) === "dark", "the theme did not change");
  await page.goto(`${base}/wrong`);
  check(await page.locator("[data-errors]").evaluate((e) => e === document.activeElement), "the errors have no focus");
  await page.goto(`${base}/console/recoveries`);
  await page.setViewportSize({ width: 390, height: 844 });
  await page.getByText("Menü").click();
  await page.getByRole("link", { name: "Suche" }).click();
  await page.waitForURL("**/console/search");
  await shot("search");
};
