/** The web UI in a browser, against the daemon with a real machine. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { newPage, startBrowser, type UiPage, VIEWPORT } from "#test/browser.ts";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";

setDefaultTimeout(2 * LIMIT_MS);

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
/** Of a terminal in a window of 820 pixels; there are 144 in the usual one. */
const NARROW_COLUMNS_MAX = 110;
const UPLOAD_BYTES = 100 * 1024 * 1024;
const SCREENSHOTS = process.env["BANGER_TEST_SCREENSHOTS"] || "build/test/screenshots";
const TABS = "terminal logs processes files network snapshots usage events record".split(" ");

let banger: Installation;
let browser: Browser;
let ui: UiPage;
let page: Page;
let base: string;

beforeAll(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  banger = install();
  await pullBusybox(banger);
  await banger.ok(
    ..."vm create --image busybox --name web --mode direct --memory 128M --no-command".split(" "),
    "-p",
    "8080",
  );
  await banger.ok(
    ..."vm create --image busybox --name cache --mode direct --memory 128M --no-command --no-start --label team=data".split(
      " ",
    ),
  );
  browser = await startBrowser();
  ui = await newPage(browser);
  page = ui.page;
});
afterAll(async () => {
  await browser?.close();
  await banger?.[Symbol.asyncDispose]();
});

const heading = (name: string) => page.getByRole("heading", { name, exact: true });
const go = async (path: string) => {
  await page.goto(`${base}/ui/${path}`);
};
/** The lines that a terminal shows. */
const screen = async () =>
  (await page.locator(".xterm-rows > div").allTextContents())
    .map((line) => line.trimEnd())
    .join("\n");
const shows = async (pattern: RegExp) => {
  while (!pattern.test(await screen())) await Bun.sleep(50);
};

test("an address logs one browser in, once, and leaves no code behind", async () => {
  const address = (await banger.ok("ui", "--no-open")).trim();
  base = new URL(address).origin;
  await page.goto(address);
  await page.getByRole("link", { name: "web", exact: true }).waitFor();
  expect(page.url()).toBe(`${base}/ui/`);
  const other = await newPage(browser);
  await other.page.goto(address);
  await other.page.getByText("This browser is not logged in").waitFor();
  await other.context.close();
  expect(ui.takeErrors()).toEqual([]);
});

test("the list is live", async () => {
  await go("");
  const row = page.getByRole("row", { name: /cache/ });
  await row.getByText("stopped").waitFor();
  await banger.ok("vm", "create", "--image", "busybox", "--name", "new-one", "--no-start");
  await page.getByRole("link", { name: "new-one", exact: true }).waitFor();
  await banger.ok("vm", "rm", "new-one");
  await page.getByRole("link", { name: "new-one", exact: true }).waitFor({ state: "detached" });
  await row.getByRole("button", { name: "Start cache" }).click();
  await row.getByText("running").waitFor();
  await row.getByRole("button", { name: "Stop cache" }).click();
  await row.getByText("stopped").waitFor();
});

test("keys alone filter, select, move and open", async () => {
  await go("");
  await page.getByRole("link", { name: "web", exact: true }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("label:team=data");
  await page.getByText("1 of 2").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "web", exact: true }).waitFor();
  await page.keyboard.press("j");
  await page.locator('[data-cursor="1"]:focus').waitFor();
  await page.keyboard.press("x");
  await page.getByText("1 selected").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("Enter");
  await heading("web").waitFor();
  await page.keyboard.press("Tab");
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
});

test("a terminal runs full-screen programs, follows the window, and goes on after a restart", async () => {
  await go("vm/web/terminal");
  await page.locator(".xterm-rows").waitFor();
  await shows(/ #$/m);
  await page.keyboard.type("seq 100 >/tmp/n; vi /tmp/n\r");
  await shows(/^1\n2\n3\n/m);
  await page.keyboard.type("ofrom-the-browser");
  await shows(/from-the-browser/);
  await page.keyboard.press("Escape");
  await page.keyboard.type(":q!\r");
  await shows(/ #\s*$/);
  await page.keyboard.type("printf '\\033[38;2;200;30;90mtrue\\033[0m-color\\n'; stty size\r");
  await shows(/true-color\n\d+ \d+/);
  await page.setViewportSize({ width: 820, height: 500 });
  const columns = async () => Number(/^\d+ (\d+)$/m.exec(await screen())?.[1]);
  while (!((await columns()) < NARROW_COLUMNS_MAX)) {
    await page.keyboard.type("clear; stty size\r");
    await Bun.sleep(500);
  }
  await page.setViewportSize(VIEWPORT);
  await page.keyboard.type("(sleep 2; echo mis''sed) & echo bef''ore\r");
  await shows(/before/);
  await banger.ok("daemon", "restart");
  await shows(/missed/);
  await page.keyboard.type("echo af''ter\r");
  await shows(/after/);
  expect(ui.takeErrors()).toEqual([]);
});

test("files are browsed, edited, uploaded and downloaded", async () => {
  await go("vm/web/files");
  await page.getByRole("button", { name: "etc/", exact: true }).waitFor();
  const file = join(banger.home, "large.bin");
  writeFileSync(file, "begins here");
  truncateSync(file, UPLOAD_BYTES);
  await page.locator('input[type="file"]').setInputFiles(file);
  await page.getByRole("button", { name: "large.bin", exact: true }).waitFor();
  const hash = await banger.ok("vm", "exec", "web", "--", "sha256sum", "/large.bin");
  const own = new Bun.CryptoHasher("sha256").update(readFileSync(file)).digest("hex");
  expect(hash.split(" ")[0]).toBe(own);
  await banger.ok("vm", "exec", "web", "--", "sh", "-c", "echo one >/note.txt");
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByRole("button", { name: "note.txt", exact: true }).click();
  await page.getByLabel("Text of /note.txt").fill("two\n");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("button", { name: "note.txt", exact: true }).waitFor();
  expect(await banger.ok("vm", "exec", "web", "--", "cat", "/note.txt")).toBe("two\n");
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Actions for note.txt" }).click();
  await page.getByRole("menuitem", { name: "Download" }).click();
  expect(readFileSync(await (await downloading).path(), "utf8")).toBe("two\n");
  await page.getByRole("button", { name: "Actions for large.bin" }).click();
  await page.getByRole("menuitem", { name: "Remove…" }).click();
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByRole("button", { name: "large.bin", exact: true }).waitFor({ state: "detached" });
});

test("a machine is made by the form, as by the command that it shows, and removed", async () => {
  await go("new");
  await page.getByLabel("Image", { exact: true }).fill("busybox");
  await page.keyboard.press("Escape");
  await page.getByLabel("Name").fill("made");
  await page.getByLabel("Memory").fill("128M");
  await page.getByLabel("Ports").fill("80");
  await page.getByText("Kernel, command, environment, policy").click();
  await page.getByLabel("Mode").selectOption("direct");
  await page.getByLabel("Command", { exact: true }).fill("sh -c 'echo hello; sleep 1000'");
  await page
    .getByText(
      "banger vm create --image busybox --name made --mode direct --memory 128M -p 80 -- sh -c 'echo hello; sleep 1000'",
    )
    .waitFor();
  await page.screenshot({ path: join(SCREENSHOTS, "create-light.png") });
  await page.getByRole("button", { name: "Create and start" }).click();
  await heading("made").waitFor();
  await page.getByRole("link", { name: "Logs" }).click();
  await page.getByText("hello").waitFor();
  await page.getByRole("link", { name: "Processes" }).click();
  await page.getByText("sleep 1000", { exact: true }).waitFor();
  await page.getByRole("button", { name: "More actions for made" }).click();
  await page.getByRole("menuitem", { name: "Remove…" }).click();
  await page.getByRole("dialog", { name: 'Remove machine "made"?' }).waitFor();
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByText('No machine "made"').waitFor();
});

test("snapshots, forks, ports and tokens are made and removed", async () => {
  await go("vm/web/snapshots");
  await page.getByRole("button", { name: "Take a snapshot" }).click();
  await page.getByRole("button", { name: /^Restore / }).waitFor();
  await page.getByRole("button", { name: "Fork", exact: true }).click();
  await page.locator(".tree a").waitFor();
  await page.getByRole("link", { name: "Network" }).click();
  await page.getByLabel("Port in the machine").fill("9090");
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await page.getByText("→9090").first().waitFor();
  await go("system");
  await page.getByRole("region", { name: "API tokens" }).getByLabel("Name").fill("laptop");
  await page.getByRole("button", { name: "Create token" }).click();
  await page.getByText(/^banger_[0-9a-f]{64}$/).waitFor();
  await page.getByRole("button", { name: "Revoke token laptop", exact: true }).click();
  await page.getByRole("button", { name: "Revoke", exact: true }).click();
  await page
    .getByRole("button", { name: "Revoke token laptop", exact: true })
    .waitFor({ state: "detached" });
  expect(await banger.json<unknown[]>("token", "list")).toEqual([]);
});

/** Of WCAG 2.2 A and AA, and best practices. */
async function accessibility(): Promise<string[]> {
  // By evaluate, which the page's policy does not concern.
  await page.evaluate(readFileSync(AXE, "utf8"));
  return await page.evaluate(async () => {
    const { axe } = globalThis as never as {
      axe: {
        run(): Promise<{
          violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
        }>;
      };
    };
    const { violations } = await axe.run();
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)}: ${failureSummary}`),
    );
  });
}

const PAGES: [name: string, path: string][] = [
  ["machines", ""],
  ["create", "new"],
  ["images", "images"],
  ["system", "system"],
  ...TABS.map((tab): [string, string] => [tab, `vm/web/${tab}`]),
];

for (const theme of ["light", "dark"] as const) {
  test(`each page has no axe violation, ${theme}`, async () => {
    const found: string[] = [];
    await page.evaluate((name) => localStorage.setItem("banger.theme", name), theme);
    for (const [name, path] of PAGES) {
      await go(path);
      await page.locator("main").waitFor();
      if (name === "terminal") await shows(/ #$/m);
      if (name === "system") await page.locator(".checks li").first().waitFor();
      if (name === "usage") await page.locator(".graph canvas").first().waitFor();
      await page.waitForTimeout(1500);
      await page.screenshot({ path: join(SCREENSHOTS, `${name}-${theme}.png`) });
      found.push(...(await accessibility()).map((each) => `${name}: ${each}`));
    }
    expect(found).toEqual([]);
    expect(ui.takeErrors()).toEqual([]);
  });
}

test("a phone's width shows everything without scrolling sideways", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const [name, path] of PAGES) {
    await go(path);
    await page.locator("main").waitFor();
    await page.waitForTimeout(500);
    const over = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return scrollWidth - clientWidth;
    });
    expect(over, name).toBeLessThanOrEqual(0);
  }
  await go("");
  await page.waitForTimeout(2500);
  await page.screenshot({ path: join(SCREENSHOTS, "phone.png") });
  await page.setViewportSize(VIEWPORT);
});

test("logging out ends the login", async () => {
  await go("system");
  await page.getByRole("button", { name: "Log out this browser" }).click();
  await page.getByText("This browser is not logged in").waitFor();
  await go("");
  await page.getByText("This browser is not logged in").waitFor();
});
