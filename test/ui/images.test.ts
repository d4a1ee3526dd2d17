/** The web UI's pages of images, kernels and the system. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import type { Image } from "#api/image.ts";
import { busyboxLayout } from "#test/busybox.ts";
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
const answer = (name: string) => page.getByRole("dialog").getByRole("button", { name }).click();
const cell = (name: string) => page.getByRole("cell", { name, exact: true });

test("an image is pulled, updated, used and removed, and its space freed", async () => {
  const layout = join(ui.banger.home, "second");
  await busyboxLayout(layout, { more: [[{ name: "etc/second", body: "2" }]] });
  await ui.go("images");
  await page.getByRole("combobox", { name: "Pull an image" }).fill(`oci:${layout}`);
  await button("Pull").click();
  await cell("second").waitFor();
  await button("Update second").click();
  await page.getByText("Update image second").waitFor();
  await page.getByRole("link", { name: "Create a machine from second" }).click();
  await page.getByRole("heading", { name: "Create a machine" }).waitFor();
  expect(await page.getByLabel("Image", { exact: true }).inputValue()).toBe("second");
  await ui.go("images");
  await button("Remove image second").click();
  await answer("Remove");
  await cell("second").waitFor({ state: "detached" });
  // As of a download that was killed.
  const left = join(ui.banger.home, "cache/banger/downloads/.staging-image-layer.tar.gz-1");
  writeFileSync(left, Buffer.alloc(65536, 1));
  await ui.go("images");
  await button("Free space…").click();
  await answer("Remove");
  await page.locator("button:disabled", { hasText: "Free space…" }).waitFor();
  expect(existsSync(left)).toBe(false);
  const names = (await ui.banger.json<Image[]>("image", "list")).map(({ name }) => name);
  expect(names).toEqual(["busybox"]);
});

test("an image is built from a Dockerfile, with its output as it comes", async () => {
  await page.getByText("Build an image from a Dockerfile").click();
  const form = page.locator("form.build");
  await form.getByLabel("Name").fill("built");
  await form
    .getByLabel("Dockerfile")
    .fill(
      `FROM oci:${join(ui.banger.home, "busybox")}\nRUN echo out-of-the-build; echo b >/built\n`,
    );
  await form.getByRole("button", { name: "Build" }).click();
  await page.getByText("out-of-the-build").last().waitFor();
  await cell("built").waitFor();
});

test("kernels are listed, of which one in use stays", async () => {
  await page.getByRole("table", { name: "Available kernels" }).waitFor();
  await page.getByText(/^\d+ kernels$/).waitFor();
  await page.getByRole("table", { name: "Kernels", exact: true }).waitFor();
  await page.getByRole("button", { name: /^Remove kernel / }).click();
  await answer("Remove");
  await page.getByRole("region", { name: "Tasks" }).getByRole("alert").waitFor();
  expect(await ui.banger.json<unknown[]>("kernel", "list")).toHaveLength(1);
});

test("the system's page has the checks, tokens, configuration and log", async () => {
  await ui.go("system");
  await page.locator(".checks li").first().waitFor();
  const tokens = page.getByRole("region", { name: "API tokens" });
  await tokens.getByLabel("Name").fill("laptop");
  await tokens.getByLabel("Scope").selectOption("read");
  await button("Create token").click();
  const secret = (await page.getByText(/^banger_[0-9a-f]{64}$/).textContent()) ?? "";
  await page.getByRole("button", { name: /^Copy token/ }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
  const answered = await fetch(`${ui.base}/v1/vms`, {
    headers: { Authorization: `Bearer ${secret}` },
  });
  expect(answered.status).toBe(200);
  await button("Revoke token laptop").click();
  await answer("Revoke");
  await button("Revoke token laptop").waitFor({ state: "detached" });
  expect(await ui.banger.json<unknown[]>("token", "list")).toEqual([]);
  await page.locator("summary", { hasText: "Configuration" }).click();
  await page
    .getByRole("row", { name: /^network\.\S+ / })
    .first()
    .waitFor();
  await page.locator(".log-line").first().waitFor();
  await page.getByLabel("Filter the log").fill("no line has this");
  await page.locator(".log-line").first().waitFor({ state: "detached" });
  expect(ui.own.takeErrors()).toEqual([]);
});

test("logging out ends the login", async () => {
  await button("Log out this browser").click();
  await page.getByText("This browser is not logged in").waitFor();
  await ui.go("");
  await page.getByText("This browser is not logged in").waitFor();
});
