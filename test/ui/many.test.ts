/** The web UI with 500 machines that are made up, and how soon it is there. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { uiPackPath } from "#daemon/ui/pack.ts";
import { newPage, startBrowser } from "#test/browser.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { makeVm } from "#test/local-daemon.ts";
import { type ServedApi, startServedApi } from "#test/served-api.ts";

setDefaultTimeout(2 * LIMIT_MS);

const COUNT = 500;
/** A window of 700 pixels has 20 rows; some more are kept above and below. */
const ROWS_MAX = 60;
const SCROLL_STEP_PX = 120;

let api: ServedApi;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  api = await startServedApi();
  for (let number = 0; number < COUNT; number++) {
    const vm = makeVm(`machine-${number}`);
    api.vms.set(vm.id, { ...vm, id: `id-${number}` });
  }
  browser = await startBrowser();
  page = (await newPage(browser)).page;
  await page.goto(`${api.url}/ui/#login=${api.ui.sessions.mint()}`);
  await page.getByRole("link", { name: "machine-0", exact: true }).waitFor();
});
afterAll(async () => {
  await browser?.close();
  await api?.[Symbol.asyncDispose]();
});

test("only rows that can be seen are in the document, wherever the list is", async () => {
  const rows = page.locator(".rows .row");
  expect(await rows.count()).toBeLessThan(ROWS_MAX);
  await page.keyboard.press("End");
  await page.getByRole("link", { name: "machine-499", exact: true }).waitFor();
  expect(await rows.count()).toBeLessThan(ROWS_MAX);
  await page.keyboard.press("Home");
  await page.getByRole("link", { name: "machine-0", exact: true }).waitFor();
  for (let count = 0; count < 60; count++) await page.keyboard.press("j");
  await page.locator('[data-cursor="60"]:focus').waitFor();
  expect(await rows.count()).toBeLessThan(ROWS_MAX);
});

test("the filter and the selection are of all rows, not of those in the document", async () => {
  await page.getByLabel("Filter machines").fill("machine-4");
  await page.getByText("111 of 500").waitFor();
  await page.getByLabel("Select all").check();
  await page.getByText("111 selected").waitFor();
  await page.getByLabel("Filter machines").fill("");
  await page.getByRole("button", { name: "Clear" }).click();
});

test("scrolling through all of them draws rows all the time", async () => {
  const { frames, longest_ms, blank } = await page.evaluate(async (step_px) => {
    const times: number[] = [];
    let blank = 0;
    const end = document.documentElement.scrollHeight - innerHeight;
    for (let at = 0; at < end; at += step_px) {
      scrollTo(0, at);
      times.push(await new Promise<number>((resolve) => requestAnimationFrame(resolve)));
      if (!document.elementFromPoint(300, innerHeight / 2)?.closest(".row")) blank++;
    }
    const each = times.slice(1).map((time, index) => time - (times[index] ?? time));
    return { frames: times.length, longest_ms: Math.max(...each), blank };
  }, SCROLL_STEP_PX);
  console.log(`scrolling ${COUNT} machines: ${frames} frames, longest ${longest_ms.toFixed(0)} ms`);
  expect(frames).toBeGreaterThan(50);
  expect(blank).toBe(0);
});

test("the page and its first paint are there, within the budget of bytes", async () => {
  const times: string[] = [];
  for (let count = 0; count < 5; count++) {
    await page.reload();
    await page.getByRole("link", { name: "machine-0", exact: true }).waitFor();
    // The name of a machine may be in the document just before it is painted.
    await page.waitForFunction(
      () => performance.getEntriesByName("first-contentful-paint").length > 0,
    );
    const [paint, files] = await page.evaluate(() => [
      performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
      // The style and the script; the icon comes later.
      performance
        .getEntriesByType("resource")
        .slice(0, 2)
        .reduce((end, each) => Math.max(end, (each as PerformanceResourceTiming).responseEnd), 0),
    ]);
    expect(paint).toBeGreaterThan(0);
    times.push(`${Math.round(paint ?? 0)} (${Math.round(files ?? 0)})`);
  }
  const names = await page.evaluate(() =>
    performance
      .getEntriesByType("resource")
      .map(({ name }) => name)
      .filter((name) => name.includes("/ui/assets/")),
  );
  const pack = JSON.parse(readFileSync(uiPackPath, "utf8")) as Record<string, { gzip: string }>;
  const sizeOf = (name: string) => Buffer.from(pack[name]?.gzip ?? "", "base64").length;
  const sum = (all: string[]) => all.map(sizeOf).reduce((total, each) => total + each, 0);
  const first_bytes = sum(["index.html", ...names.map((name) => name.split("/").at(-1) ?? "")]);
  const all_bytes = sum(Object.keys(pack));
  const kib = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`;
  console.log(`first paint (files read) with ${COUNT} machines: ${times.join(", ")} ms`);
  console.log(`compressed: ${kib(first_bytes)}, with terminal and graphs ${kib(all_bytes)}`);
  expect(first_bytes).toBeGreaterThan(10 * 1024);
  expect(first_bytes).toBeLessThan(200 * 1024);
  expect(all_bytes).toBeLessThan(400 * 1024);
});
