import { expect, test } from "bun:test";
import { withProgress } from "./stream.ts";

test("withProgress() gives each step's first report and its newest, then the result", async () => {
  const iterator = withProgress(undefined, async ({ onProgress }) => {
    onProgress({ step: "a", message: "A" });
    for (let done = 1; done <= 3; done++) onProgress({ step: "a", message: "A", done });
    onProgress({ step: "b", message: "B" });
    return 42;
  });
  const seen: unknown[] = [];
  let next = await iterator.next();
  for (; !next.done; next = await iterator.next()) seen.push(next.value);
  expect(seen).toEqual([
    { step: "a", message: "A" },
    { step: "a", message: "A", done: 3 },
    { step: "b", message: "B" },
  ]);
  expect(next.value).toBe(42);
});

test("withProgress() leaves out reports that come too fast to be seen", async () => {
  const from_ms = performance.now();
  const iterator = withProgress(undefined, async ({ onProgress }) => {
    for (let done = 1; done <= 200; done++) {
      onProgress({ step: "a", message: "A", done });
      await Bun.sleep(1);
    }
  });
  const seen: (number | undefined)[] = [];
  for await (const { done } of iterator) seen.push(done);
  expect(seen.at(-1)).toBe(200);
  expect(seen.length).toBeLessThanOrEqual(3 + (performance.now() - from_ms) / 50);
});

test("withProgress() aborts the work when the reader leaves, and waits until it has undone itself", async () => {
  const events: string[] = [];
  const iterator = withProgress(undefined, async ({ signal, onProgress }) => {
    onProgress({ step: "a", message: "A" });
    const aborted = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => aborted.resolve());
    await aborted.promise;
    await Bun.sleep(1);
    events.push("undone");
  });
  await iterator.next();
  await iterator.return(undefined);
  expect(events).toEqual(["undone"]);
});

test("withProgress() passes a failure on", async () => {
  const iterator = withProgress(undefined, async () => {
    throw new Error("broken");
  });
  await expect(iterator.next()).rejects.toThrow("broken");
});

test("withProgress() aborts when the request does", async () => {
  const request = new AbortController();
  const iterator = withProgress(request.signal, async ({ signal }) => {
    const aborted = Promise.withResolvers<string>();
    signal.addEventListener("abort", () => aborted.resolve("stopped"));
    return await aborted.promise;
  });
  const next = iterator.next();
  request.abort();
  expect(await next).toEqual({ done: true, value: "stopped" });
});
