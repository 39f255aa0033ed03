export default async ({ page, base, data, check }) => {
  await page.goto(base + data.path);
  check((await page.title()) === "x", "another page");
  check(false, "said so");
};
