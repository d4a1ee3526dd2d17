/** Debian's Chromium, with a page of the web UI. What a page reports as an error fails the test that asks. */
import { existsSync } from "node:fs";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { LIMIT_MS } from "./limit.ts";

const PROGRAM = "/usr/bin/chromium";
export const VIEWPORT = { width: 1280, height: 760 };

export interface UiPage {
  page: Page;
  context: BrowserContext;
  /** Errors of scripts, violations of the page's policy, messages of the console; empties the list. */
  takeErrors(): string[];
}

export async function startBrowser(): Promise<Browser> {
  if (!existsSync(PROGRAM)) throw new Error("chromium is not installed: run make test-ui");
  return await chromium.launch({
    executablePath: PROGRAM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    timeout: LIMIT_MS,
  });
}

export async function newPage(browser: Browser): Promise<UiPage> {
  const context = await browser.newContext({ viewport: VIEWPORT, acceptDownloads: true });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.stack ?? error.message));
  page.on("console", (message) => {
    // A daemon that is restarted does not answer for a moment; what it refuses, the page shows.
    const isExpected = /net::ERR_|WebSocket connection to|a status of 4\d\d/.test(message.text());
    if (message.type() === "error" && !isExpected) errors.push(message.text());
  });
  await page.addInitScript(() => {
    document.addEventListener(
      "securitypolicyviolation",
      ({ violatedDirective, sourceFile, lineNumber, columnNumber }) =>
        console.error("violation", violatedDirective, sourceFile, lineNumber, columnNumber),
    );
  });
  return { page, context, takeErrors: () => errors.splice(0) };
}
