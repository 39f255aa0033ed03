// What the walks share.
import { writeFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "licet-walk-"));

// looks looks at the page as it stands: three widths, light and dark. Where nobody
// keeps screenshots, at one page on a phone in the dark and at the next on a desk in
// the light. Without JavaScript there is nothing to look with; that walk is for the
// way alone.
export const looks = ({ page, shot, see, data }) => {
  let pages = 0;
  return async (name) => {
    if (data.plain) return;
    pages++;
    await page.waitForLoadState(); // with its style
    for (const theme of data.shots ? ["dark", "light"] : [pages % 2 ? "dark" : "light"]) {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
      for (const width of data.shots ? [390, 820, 1440] : [theme === "dark" ? 390 : 1440]) {
        await page.setViewportSize({ width, height: width < 600 ? 844 : 900 });
        await page.evaluate(() => Promise.allSettled(document.getAnimations().map((a) => a.finished)));
        await shot(`${name}-${width}-${theme}`);
        await see(`${name} ${width} ${theme}`);
      }
    }
  };
};

// run has the test do something: a command on a machine, a decision of staff.
export const run = (data) => async (what, body) => {
  const answer = await fetch(`${data.helper}/${what}`, { method: "POST", body: JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${what}: ${text}`);
  return text;
};

// file is a text as a file that can be chosen.
export const file = (name, text) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

// download is the text of what a click saves.
export const download = async (page, click) => {
  const [saved] = await Promise.all([page.waitForEvent("download"), click()]);
  const stream = await saved.createReadStream();
  const parts = [];
  for await (const part of stream) parts.push(part);
  return { name: saved.suggestedFilename(), text: Buffer.concat(parts).toString("utf8") };
};
