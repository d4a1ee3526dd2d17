/** An installation with a machine "web", and a browser that is logged in to its web UI. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Locator, Page } from "playwright-core";
import { newPage, startBrowser, type UiPage } from "./browser.ts";
import { pullBusybox } from "./busybox.ts";
import { type Installation, install } from "./installation.ts";
import { LIMIT_MS } from "./limit.ts";
import { until } from "./until.ts";

const SCREENSHOTS = process.env["BANGER_TEST_SCREENSHOTS"] || "build/test/screenshots";

export interface WebUi extends AsyncDisposable {
  banger: Installation;
  browser: Browser;
  own: UiPage;
  page: Page;
  /** Such as "http://127.0.0.1:7777". */
  base: string;
  /** Loads the page of this path below /ui/. */
  go(path: string): Promise<void>;
  /** Waits until the terminal shows it; an error has what it shows instead. */
  shows(pattern: RegExp): Promise<void>;
  screen(): Promise<string>;
  /** Presses Tab until this has the focus, which no pointer gave it. */
  tabTo(wanted: Locator): Promise<void>;
  picture(name: string): Promise<void>;
}

export const BUSYBOX = "--image busybox --mode direct --memory 128M --no-command".split(" ");
const TABS_MAX = 100;

export async function startWebUi(): Promise<WebUi> {
  mkdirSync(SCREENSHOTS, { recursive: true });
  const banger = install();
  let browser: Browser | undefined;
  const dispose = async () => {
    await browser?.close();
    // The daemon asks apt in the background about the kernels that the page of images lists, several times.
    await banger.ok("daemon", "stop");
    await until(() => !banger.processes().some(({ command }) => command.includes("apt-cache")));
    await banger[Symbol.asyncDispose]();
  };
  try {
    await pullBusybox(banger);
    await banger.ok("vm", "create", "--name", "web", ...BUSYBOX, "-p", "8080");
    browser = await startBrowser();
    const own = await newPage(browser);
    const address = (await banger.ok("ui", "--no-open")).trim();
    const base = new URL(address).origin;
    const { page } = own;
    await page.goto(address);
    await page.getByRole("link", { name: "web", exact: true }).waitFor();
    return {
      banger,
      browser,
      own,
      page,
      base,
      ...stepsOn(page, base),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function stepsOn(page: Page, base: string) {
  const screen = async () =>
    (await page.locator(".xterm-rows > div").allTextContents())
      .map((line) => line.trimEnd())
      .join("\n");
  return {
    screen,
    async go(path: string) {
      await page.goto(`${base}/ui/${path}`);
      await page.locator("main").waitFor();
    },
    async shows(pattern: RegExp) {
      const end_ms = Date.now() + LIMIT_MS;
      while (!pattern.test(await screen())) {
        if (Date.now() > end_ms) throw new Error(`no ${pattern} in:\n${await screen()}`);
        await Bun.sleep(50);
      }
    },
    async tabTo(wanted: Locator) {
      for (let count = 0; count < TABS_MAX; count++) {
        await page.keyboard.press("Tab");
        if (await wanted.evaluate((element) => element === document.activeElement)) return;
      }
      throw new Error(`Tab does not reach ${wanted}`);
    },
    async picture(name: string) {
      await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
    },
  };
}
