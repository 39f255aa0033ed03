// A loss that staff decide about: question, answer, approval.
import { looks, run } from "./common.mjs";

export default async (x) => {
  const { page, base, data, check } = x;
  const look = looks(x), ask = run(data);
  await page.goto(base);
  await page.getByLabel("Ticket").fill(data.ticket);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/licenses");
  await page.getByRole("link", { name: "Report as lost: Simulation" }).click();
  check(await page.getByRole("checkbox", { name: "Simulation" }).isChecked(), "the license is not chosen");
  await page.getByRole("radio", { name: "The licenses cannot be read" }).check();
  await page.getByLabel("In your words").fill("The disk makes noises and the folder is gone.");
  await page.getByRole("button", { name: "See what will happen" }).click();
  await look("1-foreseen");
  await page.getByRole("button", { name: "Report the loss" }).click();
  await page.waitForURL("**/recovery/*");
  await look("2-waiting");
  const number = Number(page.url().split("/").pop());
  await ask("ask", { number, text: "Which disk is it, and has somebody looked at it?" });
  await page.goto(base + "/licenses");
  await look("3-licenses");
  await page.getByRole("link", { name: "Read and answer it" }).click();
  await look("4-asked");
  await page.getByLabel("Your answer").fill("The second one. The repair shop says it cannot be read.");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByText("Being decided").waitFor();
  await look("5-answered");
  await ask("approve", { number, text: "The repair shop confirms it." });
  await page.reload();
  await look("6-approved");
  await page.getByRole("link", { name: "Activate now" }).click();
  await page.getByText("Activate 1 license").first().waitFor();
  // Refused, and why.
  await page.goto(base + "/restore");
  await page.getByRole("checkbox", { name: "Post Processor" }).check();
  await page.getByRole("radio", { name: "Only these licenses are missing" }).check();
  await page.getByLabel("In your words").fill("Gone.");
  await ask("use", {});
  await page.getByRole("button", { name: "See what will happen" }).click();
  await look("7-refused");
};
