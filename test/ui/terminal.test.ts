/** Terminals in the web UI: full-screen programs, the window's size, restarts, keys. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import { VIEWPORT } from "#test/browser.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { startWebUi, type WebUi } from "#test/web-ui.ts";

setDefaultTimeout(2 * LIMIT_MS);

/** Of a terminal in a window of 820 pixels; there are more than 150 in the usual one. */
const NARROW_COLUMNS_MAX = 110;

let ui: WebUi;
let page: Page;
beforeAll(async () => {
  ui = await startWebUi();
  page = ui.page;
});
afterAll(async () => await ui?.[Symbol.asyncDispose]());

const run = (line: string) => page.keyboard.type(`${line}\r`);

test("a page that is left while its terminal starts leaves one, or none", async () => {
  await page.getByRole("link", { name: "web", exact: true }).click();
  await page.getByText("Opening a terminal…").waitFor();
  await ui.go("vm/web/terminal");
  await ui.shows(/ #$/m);
  expect(await page.getByRole("button", { name: /^web-\d+$/ }).count()).toBe(1);
});

test("full-screen programs run, in colour", async () => {
  await run("seq 100 >/tmp/n; vi /tmp/n");
  await ui.shows(/^1\n2\n3\n/m);
  await page.keyboard.type("ofrom-the-browser");
  await ui.shows(/from-the-browser/);
  await page.keyboard.press("Escape");
  // It takes keys that follow an Escape at once as one sequence of a key that it does not know.
  await ui.shows(/^- \/tmp\/n/m);
  await page.keyboard.type(":q!\r");
  await ui.shows(/ #\s*$/);
  await run("printf '\\033[38;2;200;30;90mtrue\\033[0m-color\\n'; stty size");
  await ui.shows(/true-color\n\d+ \d+/);
  const color = await page
    .locator(".xterm-rows span", { hasText: /^true$/ })
    .last()
    .evaluate((element) => getComputedStyle(element).color);
  expect(color).toBe("rgb(200, 30, 90)");
  expect(ui.own.takeErrors()).toEqual([]);
});

test("the terminal follows the window's size", async () => {
  await page.setViewportSize({ width: 820, height: 500 });
  const columns = async () => Number(/^\d+ (\d+)$/m.exec(await ui.screen())?.[1]);
  while (!((await columns()) < NARROW_COLUMNS_MAX)) {
    await run("clear; stty size");
    await Bun.sleep(500);
  }
  await page.setViewportSize(VIEWPORT);
});

test("what is missed and what is typed while the daemon restarts comes after it", async () => {
  await run("clear; (sleep 3; echo mis''sed) & echo bef''ore");
  await ui.shows(/before/);
  await ui.banger.ok("daemon", "stop");
  await page.getByText("Connection lost. Reconnecting…").waitFor();
  await run("echo whi''le");
  await ui.banger.ok("daemon", "start");
  await ui.shows(/missed/);
  await ui.shows(/while/);
  await run("echo af''ter");
  await ui.shows(/after/);
  await page.getByText("Connection lost").waitFor({ state: "detached" });
  await page.reload();
  await ui.shows(/while[\s\S]*missed[\s\S]*after|missed[\s\S]*while[\s\S]*after/);
});

test("text is found, copied and pasted, and links are links", async () => {
  await run("clear; echo need''le http://127.0.0.1:9/here");
  await ui.shows(/needle/);
  await page.keyboard.press("Control+Shift+F");
  await page.getByLabel("Search the terminal").fill("needle");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+Shift+C");
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("needle");
  await page.evaluate(() => navigator.clipboard.writeText("echo past''ed\n"));
  await page.keyboard.press("Control+Shift+V");
  await ui.shows(/^pasted/m);
  const popup = page.waitForEvent("popup");
  const link = page.locator(".xterm-rows > div", { hasText: /^needle/ });
  const box = await link.boundingBox();
  if (!box) throw new Error("no line");
  // Of about 8 pixels each, and the address begins with the eighth.
  await page.mouse.move(box.x + 100, box.y + box.height / 2);
  await page.locator(".xterm.xterm-cursor-pointer, .xterm-cursor-pointer").waitFor();
  await page.mouse.down();
  await page.mouse.up();
  await (await popup).close();
});

test("there are several terminals; the keyboard gets out of one, and ends one", async () => {
  await page.getByRole("button", { name: "+ new" }).click();
  const second = page.getByRole("button", { name: "web-2", exact: true });
  await second.waitFor();
  await ui.shows(/ #$/m);
  await run("echo sec''ond");
  await ui.shows(/second/);
  await page.keyboard.press("Control+Shift+ArrowUp");
  expect(await second.evaluate((element) => element === document.activeElement)).toBe(true);
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await ui.shows(/needle/);
  await second.click();
  await ui.shows(/second/);
  await run("exit");
  await second.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Close web-1" }).click();
  await page.getByRole("button", { name: "web-1", exact: true }).waitFor({ state: "detached" });
  expect(ui.own.takeErrors()).toEqual([]);
});
