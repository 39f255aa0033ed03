// Somebody who may only look.
export default async ({ page, base, data, shot, see, check }) => {
  await page.goto(`${base}/console/sign-in`);
  await page.getByLabel("Name").fill("lena.brandt");
  await page.getByLabel("Password").fill(data.password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  for (const path of [`recoveries/${data.waiting}`, `licenses/${data.lived}`, `containers/${data.holder}`, `orders/${data.order}`]) {
    await page.goto(`${base}/console/${path}`);
    check(await page.locator("main form").count() === 0, `${path} has a form`);
    check(await page.locator(".head-actions a").count() === 0, `${path} offers an action`);
  }
  await see("looking");
  await shot("order");
};
