/** The web UI's form for a machine with volumes, a workspace and a policy; volumes and named networks. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import type { Vm } from "#api/vm.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { startWebUi, type WebUi } from "#test/web-ui.ts";

setDefaultTimeout(2 * LIMIT_MS);

let ui: WebUi;
let page: Page;
beforeAll(async () => {
  ui = await startWebUi();
  page = ui.page;
});
afterAll(async () => await ui?.[Symbol.asyncDispose]());

const button = (name: string | RegExp) => page.getByRole("button", { name, exact: true });
const field = (name: string) => page.getByLabel(name, { exact: true });
const show = async (name: string) =>
  JSON.parse(await ui.banger.ok("vm", "show", "--json", name)) as Vm;
const volumes = async () => (await ui.banger.ok("volume", "list", "-q")).trim().split("\n");

async function fillIn(name: string, volume: string): Promise<void> {
  await ui.go("new");
  await field("Image").fill("busybox");
  await page.keyboard.press("Escape");
  await field("Name").fill(name);
  await field("Memory").fill("128M");
  for (const summary of await page.locator("summary").all()) await summary.click();
  await field("Mode").selectOption("direct");
  await button("Add a volume").click();
  await field("Volume").fill(volume);
  await field("Path in the machine").fill("/data");
  await field("Size of a new volume").fill("32M");
}

test("a machine has the volume, the workspace and the rules of the form", async () => {
  const source = join(ui.banger.home, "it's a project");
  mkdirSync(source);
  writeFileSync(join(source, "a.txt"), "hello\n");
  await fillIn("made", "made-data");
  await field("Deny").fill("ads.example.com");
  await field("Allow").fill("*.debian.org");
  await page.getByLabel("Ask for what no rule matches").check();
  await field("Network").selectOption("user");
  await page.getByText("must be nat or host for a policy").first().waitFor();
  expect(await button("Create and start").isDisabled()).toBe(true);
  await field("Network").selectOption("nat");
  await field("Directory on the host").fill(source);
  await button("Create and start").click();
  await page.waitForURL(/\/ui\/vm\/made\/workspace$/);
  expect((await show("made")).network.policy).toEqual({
    allow: ["deny ads.example.com", "*.debian.org"],
    ask: true,
  });
  const script = "cat /workspace/a.txt && touch /data/x && grep -c ' /data ' /proc/mounts";
  expect(await ui.banger.ok("vm", "exec", "made", "--", "sh", "-c", script)).toBe("hello\n1\n");
});

test("a machine that cannot be created leaves no volume", async () => {
  await fillIn("made", "left");
  await button("Create and start").click();
  await page.getByText("already in use").first().waitFor();
  expect(await volumes()).toEqual(["made-data"]);
});

test("volumes are created, grown and removed", async () => {
  await ui.go("images");
  const own = page.getByRole("region", { name: "Volumes" });
  await own.getByLabel("Name of the volume").fill("cache");
  await own.getByLabel("Size").fill("64M");
  await button("Create volume").click();
  await button("Grow volume cache").click();
  await field("New size of cache").fill("128M");
  await button("Grow").click();
  await own.getByRole("cell", { name: "128M" }).waitFor();
  expect(await button("Remove volume made-data").isDisabled()).toBe(true);
  await button("Remove volume cache").click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await button("Remove volume cache").waitFor({ state: "detached" });
  expect(await volumes()).toEqual(["made-data"]);
});

test("a machine is connected to a network, and disconnected", async () => {
  await ui.go("vm/made/network");
  await field("Name of the network").fill("lab");
  await button("Connect").click();
  await button("Disconnect from lab").waitFor();
  expect((await show("made")).network.networks).toEqual(["lab"]);
  await button("Disconnect from lab").click();
  await button("Disconnect from lab").waitFor({ state: "detached" });
  expect((await show("made")).network.networks ?? []).toEqual([]);
  expect(ui.own.takeErrors()).toEqual([]);
});
