/** The web UI with 500 machines that are made up, and how soon it is there. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { newPage, startBrowser } from "#test/browser.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { makeVm } from "#test/local-daemon.ts";
import { type ServedApi, startServedApi } from "#test/served-api.ts";

setDefaultTimeout(2 * LIMIT_MS);

const COUNT = 500;
/** A window of 700 pixels has 20 rows; some more are kept above and below. */
const ROWS_MAX = 60;

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

test("the page and its first paint are there", async () => {
  const times: number[] = [];
  for (let count = 0; count < 5; count++) {
    await page.reload();
    await page.getByRole("link", { name: "machine-0", exact: true }).waitFor();
    const paint = await page.evaluate(
      () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
    );
    expect(paint).toBeGreaterThan(0);
    times.push(Math.round(paint));
  }
  const sent = await page.evaluate(() =>
    performance
      .getEntriesByType("resource")
      .filter(({ name }) => name.includes("/ui/assets/"))
      .map((each) => (each as PerformanceResourceTiming).encodedBodySize),
  );
  const total = sent.reduce((sum, each) => sum + each, 0);
  expect(total).toBeLessThan(200 * 1024);
});
