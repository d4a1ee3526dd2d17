/** Each page of the web UI in both themes and at a phone's width: accessibility, and pictures for docs/screenshots. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { VIEWPORT } from "#test/browser.ts";
import { TestRepository } from "#test/git-server.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { BUSYBOX, startWebUi, type WebUi } from "#test/web-ui.ts";

setDefaultTimeout(2 * LIMIT_MS);

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const TABS =
  "terminal logs processes files workspace network policy snapshots usage events record".split(" ");
const PAGES: [name: string, path: string][] = [
  ["machines", ""],
  ["create", "new"],
  ["images", "images"],
  ["system", "system"],
  ...TABS.map((tab): [string, string] => [tab, `vm/${tab === "policy" ? "worker" : "web"}/${tab}`]),
];

let ui: WebUi;
let page: Page;
beforeAll(async () => {
  ui = await startWebUi();
  page = ui.page;
  const { banger } = ui;
  const label = ["--label", "team=data"];
  await banger.ok("vm", "create", "--name", "cache", ...BUSYBOX, "--no-start", ...label);
  await banger.ok("vm", "create", "--name", "worker", ...BUSYBOX, "--allow", "*.debian.org");
  const denied = "nc -w 1 192.0.2.1 80 || true";
  await banger.ok("vm", "exec", "worker", "--", "sh", "-c", denied);
  await banger.ok("vm", "create", "--name", "idle", ...BUSYBOX);
  await banger.ok("vm", "suspend", "idle");
  await banger.ok(
    "vm",
    "session",
    "start",
    "web",
    "listen",
    "--",
    "sh",
    "-c",
    "exec httpd -f -p 8080",
  );
  await banger.ok("vm", "snapshot", "create", "web", "clean");
  await importWorkspace();
});
afterAll(async () => await ui?.[Symbol.asyncDispose]());

async function importWorkspace(): Promise<void> {
  const { banger } = ui;
  const repository = new TestRepository(join(banger.home, "shop"));
  repository.commit({ "README.md": "# Shop\n", "src/price.ts": "export const TAX = 0.19;\n" });
  await banger.ok("vm", "workspace", "import", "web", repository.path);
  const change = "echo 'export const TAX = 0.2;' >/workspace/src/price.ts";
  await banger.ok("vm", "exec", "web", "--", "sh", "-c", change);
  await banger.ok("vm", "workspace", "checkpoint", "web", "-m", "tax of next year");
}

/** What shows that a page has loaded all that it loads. */
async function isThere(name: string): Promise<void> {
  const found: Record<string, string> = {
    machines: ".spark",
    images: '[aria-label="Disk usage"] ~ table:last-of-type, table >> nth=2',
    system: ".checks li >> nth=3",
    usage: ".graph canvas >> nth=3",
    files: 'button:text("etc/")',
    processes: "tbody tr",
    workspace: ".diff-line",
    network: "tbody tr",
    policy: "table",
    snapshots: ".tree",
    logs: ".log",
    record: ".log",
  };
  const selector = found[name];
  if (selector) await page.locator(selector).first().waitFor();
  if (name === "terminal") await fillTerminal();
  if (name === "workspace") await page.getByText("tax of next year").first().waitFor();
  if (name === "create") await page.getByLabel("Image", { exact: true }).fill("busybox");
  if (name === "create") await page.keyboard.press("Escape");
  // For graphs, which need some samples; nothing depends on it.
  await page.waitForTimeout(name === "machines" || name === "usage" ? 6000 : 300);
}

async function fillTerminal(): Promise<void> {
  await ui.shows(/ #\s*$/);
  await page.keyboard.type("clear\r");
  await ui.shows(/^\S+ #\s*$/);
  await page.keyboard.type("ls -l --color=always / | head -12; uname -srm\r");
  await ui.shows(/^Linux [\s\S]*#\s*$/m);
}

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

for (const theme of ["light", "dark"] as const) {
  test(`each page has no axe violation, ${theme}`, async () => {
    const found: string[] = [];
    await page.evaluate((name) => localStorage.setItem("banger.theme", name), theme);
    for (const [name, path] of PAGES) {
      await ui.go(path);
      await isThere(name);
      await ui.picture(`${name}-${theme}`);
      found.push(...(await accessibility()).map((each) => `${name}: ${each}`));
    }
    expect(found).toEqual([]);
    expect(ui.own.takeErrors()).toEqual([]);
  });
}

test("dialogs, menus and errors have no axe violation", async () => {
  await ui.go("");
  const more = page.getByRole("button", { name: "More actions for web" });
  await more.click();
  expect(await accessibility()).toEqual([]);
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  expect(await accessibility()).toEqual([]);
  await page.keyboard.press("Escape");
  await ui.go("vm/missing");
  await page.getByText('No machine "missing"').waitFor();
  expect(await accessibility()).toEqual([]);
});

test("a phone's width shows everything without scrolling sideways", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  const found: string[] = [];
  for (const [name, path] of PAGES) {
    await ui.go(path);
    await isThere(name);
    const over = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return scrollWidth - clientWidth;
    });
    if (over > 0) found.push(`${name}: ${over} pixels`);
    await ui.picture(`phone-${name}`);
  }
  expect(found).toEqual([]);
  await page.setViewportSize(VIEWPORT);
});
