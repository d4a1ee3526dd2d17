/** The web UI's page of one machine: files, processes, network, snapshots, usage, events, record. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import type { Vm } from "#api/vm.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { until } from "#test/until.ts";
import { startWebUi, type WebUi } from "#test/web-ui.ts";

setDefaultTimeout(2 * LIMIT_MS);

const UPLOAD_BYTES = 100 * 1024 * 1024;

let sessions = 0;
let ui: WebUi;
let page: Page;
beforeAll(async () => {
  ui = await startWebUi();
  page = ui.page;
});
afterAll(async () => await ui?.[Symbol.asyncDispose]());

const button = (name: string | RegExp) => page.getByRole("button", { name, exact: true });
const sh = (script: string) => ui.banger.ok("vm", "exec", "web", "--", "sh", "-c", script);
/** Goes on when the command that starts it has ended. */
const session = (script: string) =>
  ui.banger.ok("vm", "session", "start", "web", `s${sessions++}`, "--", "sh", "-c", script);
const answer = (name: string) => page.getByRole("dialog").getByRole("button", { name }).click();

test("100 MB are uploaded, whole", async () => {
  await ui.go("vm/web/files");
  await button("etc/").waitFor();
  const file = join(ui.banger.home, "large.bin");
  writeFileSync(file, "begins here");
  truncateSync(file, UPLOAD_BYTES);
  await page.locator('input[type="file"]').setInputFiles(file);
  await button("large.bin").waitFor();
  const own = new Bun.CryptoHasher("sha256").update(readFileSync(file)).digest("hex");
  expect((await sh("sha256sum /large.bin")).split(" ")[0]).toBe(own);
  await button("Actions for large.bin").click();
  await page.getByRole("menuitem", { name: "Remove…" }).click();
  await answer("Remove");
  await button("large.bin").waitFor({ state: "detached" });
});

test("files are browsed, edited, dropped and downloaded", async () => {
  await sh(
    "mkdir -p /srv/deep; echo one >/srv/deep/note.txt; head -c 99 /dev/urandom >/srv/deep/raw",
  );
  await button("Reload").click();
  await button("srv/").click();
  await button("deep/").click();
  await button("note.txt").click();
  await page.getByLabel("Text of /srv/deep/note.txt").fill("two\n");
  await button("Save").click();
  await button("note.txt").waitFor();
  expect(await sh("cat /srv/deep/note.txt")).toBe("two\n");
  await button("raw").click();
  await page.getByText("Not shown: the file is binary").waitFor();
  await button("Back").click();
  const downloading = page.waitForEvent("download");
  await button("Actions for note.txt").click();
  await page.getByRole("menuitem", { name: "Download" }).click();
  expect(readFileSync(await (await downloading).path(), "utf8")).toBe("two\n");
  const data = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["dropped"], "dropped.txt"));
    return transfer;
  });
  await page.locator(".drop").dispatchEvent("drop", { dataTransfer: data });
  await button("dropped.txt").waitFor();
  expect(await sh("cat /srv/deep/dropped.txt")).toBe("dropped");
  await button("srv/").click();
  await button("deep/").waitFor();
});

test("a process is ended", async () => {
  await session("sleep 98765");
  await page.getByRole("link", { name: "Processes" }).click();
  const row = page.getByRole("row", { name: /sleep 98765/ }).first();
  await row.getByRole("button", { name: /^End process/ }).click();
  await answer("Send SIGTERM");
  await row.waitFor({ state: "detached" });
  await button("Memory").click();
  await page.getByRole("columnheader", { name: "Memory" }).waitFor();
});

test("a port is published, reached, and unpublished", async () => {
  await session(
    "mkdir -p /srv/www; echo hello-inside >/srv/www/index.html; exec httpd -f -p 9090 -h /srv/www",
  );
  await page.getByRole("link", { name: "Network" }).click();
  await button("Publish port 9090").click();
  const own = page.getByRole("link", { name: /→9090/ }).first();
  const port = new URL((await own.getAttribute("href")) ?? "").port;
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("hello-inside\n");
  await page.getByLabel("Port in the machine").fill("9091");
  await button("Publish").click();
  await page.getByText("→9091").first().waitFor();
  await button(`Unpublish port ${port}`).click();
  await own.waitFor({ state: "detached" });
});

test("a snapshot is restored, forked and branched, as a tree, and removed", async () => {
  await sh("echo before >/state; sync");
  await page.getByRole("link", { name: "Snapshots" }).click();
  await page.getByText("No snapshots and no forks").waitFor();
  await button("Take a snapshot").click();
  const restore = page.getByRole("button", { name: /^Restore / });
  await restore.waitFor();
  await sh("echo after >/state; sync");
  await restore.click();
  await answer("Restore");
  await until(async () => (await sh("cat /state").catch(() => "")) === "before\n");
  await button("Fork").click();
  await page.locator(".tree a").waitFor();
  await page.getByRole("button", { name: /^Branch / }).click();
  await page.getByText(/^Created from snapshot/).waitFor();
  await ui.go("vm/web/snapshots");
  await until(async () => (await page.locator(".tree a").count()) === 2);
  for (const { name } of await ui.banger.json<Vm[]>("vm", "list")) {
    if (name !== "web") await ui.banger.ok("vm", "rm", "--force", name);
  }
  await until(async () => (await page.locator(".tree a").count()) === 0);
  await page.getByRole("button", { name: /^Remove snapshot / }).click();
  await answer("Remove");
  await page.getByText("No snapshots and no forks").waitFor();
});

test("usage, events and the record are of this machine; it takes another name", async () => {
  await page.getByRole("link", { name: "Usage" }).click();
  await page.locator(".graph canvas").nth(3).waitFor();
  expect(await page.locator(".graph figcaption").allTextContents()).toHaveLength(4);
  await page.getByRole("link", { name: "Events" }).click();
  await page.getByRole("heading", { name: "web", exact: true }).waitFor();
  await ui.banger.ok("vm", "suspend", "web");
  await page.getByRole("cell", { name: "suspended" }).waitFor();
  await page.getByRole("link", { name: "Processes" }).click();
  await page.getByText("The machine is suspended").waitFor();
  await button("Resume").click();
  await page.getByRole("table", { name: "Processes" }).waitFor();
  await page.getByRole("link", { name: "Record" }).click();
  const shown = JSON.parse((await page.locator("pre.log").textContent()) ?? "") as Vm;
  expect(shown.name).toBe("web");
  await page.getByLabel("Name", { exact: true }).fill("other");
  await button("Rename").click();
  await page.getByRole("heading", { name: "other", exact: true }).waitFor();
  expect(page.url()).toBe(`${ui.base}/ui/vm/other/record`);
  expect(ui.own.takeErrors()).toEqual([]);
});
