/** The web UI's list of machines: live, with every action, by pointer and by keys. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import type { Vm } from "#api/vm.ts";
import { newPage } from "#test/browser.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { asUser } from "#test/net-lab.ts";
import { until } from "#test/until.ts";
import { BUSYBOX, startWebUi, type WebUi } from "#test/web-ui.ts";

setDefaultTimeout(2 * LIMIT_MS);

const OTHER_UID = 65534;

let ui: WebUi;
let page: Page;
beforeAll(async () => {
  ui = await startWebUi();
  page = ui.page;
  const labels = ["--no-start", "--label", "team=data"];
  await ui.banger.ok("vm", "create", "--name", "cache", ...BUSYBOX, ...labels);
});
afterAll(async () => await ui?.[Symbol.asyncDispose]());

const link = (name: string) => page.getByRole("link", { name, exact: true });
const row = (name: string) => page.getByRole("row", { name: new RegExp(`\\b${name}\\b`) });
const menu = async (name: string, item: string) => {
  await page.getByRole("button", { name: `More actions for ${name}` }).click();
  await page.getByRole("menuitem", { name: item }).click();
};
const show = (name: string) => ui.banger.json<Vm>("vm", "show", name);
const press = (key: string) => page.keyboard.press(key);

test("an address logs one browser in, once, and leaves no code behind", async () => {
  const address = (await ui.banger.ok("ui", "--no-open")).trim();
  const other = await newPage(ui.browser);
  await other.page.goto(address);
  await other.page.getByRole("link", { name: "web", exact: true }).waitFor();
  expect(other.page.url()).toBe(`${ui.base}/ui/`);
  const late = await newPage(ui.browser);
  await late.page.goto(address);
  await late.page.getByText("This browser is not logged in").waitFor();
  for (const { context } of [other, late]) await context.close();
});

test("another user of the host gets the page that holds nothing, and no more", async () => {
  const used = (await ui.banger.ok("ui", "--no-open")).trim();
  const other = await newPage(ui.browser);
  await other.page.goto(used);
  await other.page.getByRole("link", { name: "web", exact: true }).waitFor();
  const stolen = await other.page.evaluate(() => localStorage.getItem("banger.key"));
  const ask = async (path: string, ...options: string[]): Promise<string> => {
    const argv = [...asUser(OTHER_UID), "curl", "-s", "-w", "\n%{http_code}", ...options];
    const curl = Bun.spawn([...argv, `${ui.base}${path}`], { stdout: "pipe" });
    return await new Response(curl.stdout).text();
  };
  const own = ["-H", `Origin: ${ui.base}`, "-H", "Content-Type: application/json"];
  const code = new URL(used).hash.slice("#login=".length);
  expect(await ask("/ui/")).toMatch(/<div id="app">[\s\S]*\n200$/);
  const login = await ask("/ui/login", ...own, "-d", JSON.stringify({ code }));
  expect(login).toMatch(/\n401$/);
  // The key alone, as of a page that runs at another port.
  for (const key of [[], ["-H", `X-Banger-Key: ${stolen}`]]) {
    expect(await ask("/ui/api/rpc/vm/list", ...own, ...key, "-d", "{}")).toMatch(/\n401$/);
  }
  for (const path of ["/v1/vms", "/rpc/vm/list", "/version"]) {
    expect(await ask(path, ...own)).toMatch(/\n40[13]$/);
  }
  const files = Bun.spawnSync([...asUser(OTHER_UID), "grep", "-rl", code, ui.banger.home]);
  expect(files.stdout.toString()).toBe("");
  await other.context.close();
});

test("the list is live", async () => {
  await ui.go("");
  await row("cache").getByText("stopped").waitFor();
  await ui.banger.ok("vm", "create", "--image", "busybox", "--name", "new-one", "--no-start");
  await link("new-one").waitFor();
  await ui.banger.ok("vm", "rm", "new-one");
  await link("new-one").waitFor({ state: "detached" });
  await page.getByRole("img", { name: /^CPU: / }).waitFor();
  await page.getByRole("img", { name: /^Network: / }).waitFor();
});

test("each action of a machine", async () => {
  const web = row("web");
  await row("cache").getByRole("button", { name: "Start cache" }).click();
  await row("cache").getByText("running").waitFor();
  await row("cache").getByRole("button", { name: "Stop cache" }).click();
  await row("cache").getByText("stopped").waitFor();
  const { startedAt } = await show("web");
  await menu("web", "Restart");
  await until(async () => (await show("web")).startedAt !== startedAt);
  await web.getByText("running").waitFor();
  await menu("web", "Suspend");
  await web.getByText("suspended").waitFor();
  await web.getByRole("button", { name: "Resume web" }).click();
  await web.getByText("running").waitFor();
  await menu("web", "Snapshot");
  await until(async () => (await ui.banger.json<unknown[]>("vm", "snapshot", "list")).length === 1);
  await menu("web", "Fork");
  const fork = page.locator("[data-cursor]", { hasNotText: /^(web|cache)$/ });
  const name = (await fork.textContent()) ?? "";
  // The fork is listed as running before its agent has answered, without which it is given up.
  await page.getByRole("button", { name: "Cancel: Fork web" }).waitFor({ state: "detached" });
  await row(name).getByText("running").waitFor();
  await menu(name, "Power off");
  await row(name).getByText("stopped").waitFor();
  await menu(name, "Remove");
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await link(name).waitFor({ state: "detached" });
  expect(ui.own.takeErrors()).toEqual([]);
});

test("the list is sorted by a column, and several machines take one action", async () => {
  const names = async () => await page.locator("[data-cursor]").allTextContents();
  expect(await names()).toEqual(["cache", "web"]);
  await page.getByRole("button", { name: "State" }).click();
  await page.getByRole("columnheader", { name: "State", exact: false }).waitFor();
  expect(await names()).toEqual(["web", "cache"]);
  await page.getByRole("button", { name: "Name" }).click();
  await page.getByLabel("Select all").check();
  await page.getByText("2 selected").waitFor();
  const bulk = page.getByRole("toolbar", { name: "Selected machines" });
  await bulk.getByRole("button", { name: "Start 1", exact: true }).click();
  await row("cache").getByText("running").waitFor();
  await bulk.getByRole("button", { name: "Stop", exact: true }).click();
  for (const name of ["web", "cache"]) await row(name).getByText("stopped").waitFor();
  await bulk.getByRole("button", { name: "Start", exact: true }).click();
  for (const name of ["web", "cache"]) await row(name).getByText("running").waitFor();
  await bulk.getByRole("button", { name: "Clear", exact: true }).click();
});

test("keys alone filter, select, start, open and leave", async () => {
  await ui.go("");
  await link("web").waitFor();
  await press("/");
  await page.keyboard.type("label:team=data");
  await page.getByText("1 of 2").waitFor();
  await press("Escape");
  await link("web").waitFor();
  await press("k");
  await page.locator('[data-cursor="0"]:focus').waitFor();
  await press("x");
  await page.getByText("1 selected").waitFor();
  await press("Escape");
  await press("s");
  await row("cache").getByText("stopped").waitFor();
  await press("j");
  await page.locator('[data-cursor="1"]:focus').waitFor();
  await ui.tabTo(page.getByRole("button", { name: "More actions for web" }));
  await press("Enter");
  await page.locator("[role=menuitem]:focus", { hasText: "Terminal" }).waitFor();
  await press("ArrowDown");
  await page.locator("[role=menuitem]:focus", { hasText: "Restart" }).waitFor();
  await press("Escape");
  await page.getByRole("menu").waitFor({ state: "detached" });
  await press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await press("k");
  await press("j");
  await page.locator('[data-cursor="1"]:focus').waitFor();
  await press("Enter");
  await page.getByRole("heading", { name: "web", exact: true }).waitFor();
});

test("a machine is made by keys alone, as by the command that is shown, and removed", async () => {
  await ui.go("system");
  await press("n");
  await page.getByRole("heading", { name: "Create a machine" }).waitFor();
  const type = async (label: string, text: string) => {
    await ui.tabTo(page.getByLabel(label, { exact: true }));
    await page.keyboard.type(text);
  };
  await type("Image", "busyb");
  await page.getByRole("option", { name: /^busybox/ }).waitFor();
  await press("ArrowDown");
  await press("Enter");
  await type("Name", "made");
  await type("Memory", "128M");
  await type("Ports", "80");
  await ui.tabTo(page.getByText(/^Kernel, command/));
  await press("Enter");
  await type("Mode", "direct");
  await type("Command", "sh -c 'echo hello; sleep 1000'");
  await page
    .getByText(
      "banger vm create --image busybox --name made --mode direct --memory 128M -p 80 -- sh -c 'echo hello; sleep 1000'",
    )
    .waitFor();
  await ui.picture("create-light");
  await ui.tabTo(page.getByRole("button", { name: "Create and start" }));
  await press("Enter");
  await page.getByRole("heading", { name: "made", exact: true }).waitFor();
  await page.getByRole("link", { name: "Logs" }).click();
  await page.getByText("hello").waitFor();
  await page.getByLabel("Filter lines").fill("nothing has this");
  await page.getByText("hello").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Console" }).click();
  await page.getByRole("log", { name: "Console" }).waitFor();
  await menu("made", "Remove");
  await page.getByRole("dialog", { name: 'Remove machine "made"?' }).waitFor();
  await press("Tab");
  await press("Enter");
  await page.getByText('No machine "made"').waitFor();
});

test("what fails is shown with its hint", async () => {
  await ui.go("new");
  await page.getByLabel("Image", { exact: true }).fill("busybox");
  await page.getByLabel("Name", { exact: true }).fill("web");
  await page.getByRole("button", { name: "Create and start" }).click();
  const trouble = page.getByRole("complementary").getByRole("alert");
  await trouble.getByText(/web/).first().waitFor();
  expect(await trouble.locator(".hint").count()).toBe(1);
});
