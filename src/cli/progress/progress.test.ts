import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { onTerminal } from "#test/terminal.ts";
import { activeLine, finishedLine } from "./line.ts";
import { Steps } from "./steps.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

const layer = (name: string, done: number, total = 100 * MiB) => ({
  step: name,
  message: `Downloading ${name}`,
  done,
  total,
  unit: "bytes" as const,
});

test("steps with a total go on side by side until they reach it", () => {
  const steps = new Steps();
  expect(steps.report(layer("a", 0), 0).begun.map(({ step }) => step)).toEqual(["a"]);
  expect(steps.report(layer("b", 0), 10)).toMatchObject({ begun: [{ step: "b" }], finished: [] });
  expect(steps.report(layer("a", 100 * MiB), 20).finished.map(({ step }) => step)).toEqual(["a"]);
  // A late report of what is over begins nothing again.
  expect(steps.report(layer("a", 100 * MiB), 30)).toEqual({ begun: [], finished: [] });
  expect(steps.active.map(({ step }) => step)).toEqual(["b"]);
});

test("a step without a total is over when the next one of its lane begins", () => {
  const steps = new Steps();
  steps.report({ step: "resolve", message: "Resolving" }, 0, "one");
  steps.report({ step: "boot", message: "Booting" }, 5, "two");
  expect(steps.active).toHaveLength(2);
  const { finished } = steps.report(layer("a", 0), 10, "one");
  expect(finished).toMatchObject([{ step: "resolve", finished_ms: 10 }]);
  expect(steps.finishAll(20, "one")).toMatchObject([{ step: "a" }]);
  expect(steps.active).toMatchObject([{ step: "boot", lane: "two" }]);
});

test("activeLine() tells amount, share, rate and remaining time, within the columns", () => {
  const steps = new Steps();
  for (let second = 0; second <= 4; second++) {
    steps.report(layer("layer", second * 10 * MiB), second * 1000);
  }
  const [step] = steps.active;
  if (!step) throw new Error("no step");
  expect(activeLine(step, 4000, 80)).toBe(
    "Downloading layer  40 MiB / 100 MiB  40%  10 MiB/s  6.0s left",
  );
  for (let columns = 0; columns < 80; columns++) {
    expect(Bun.stringWidth(activeLine(step, 4000, columns))).toBeLessThanOrEqual(columns);
  }
  expect(finishedLine({ ...step, finished_ms: 10_000 })).toBe("Downloading layer  100 MiB  10.0s");
});

test("a step without numbers shows how long it takes", () => {
  const steps = new Steps();
  steps.report({ step: "boot", message: "Booting\u001b[2J" }, 0, "box");
  const [step] = steps.active;
  expect(step && activeLine(step, 2500, 80)).toBe("box: Booting  2.5s");
});

/** A program that reports two steps and finishes the work, or gives up. */
const PLAIN = `mode: "plain", style: (_, text) => text, isCancelled: () => false`;
const AUTO = PLAIN.replace("plain", "auto");

function program(end: string, options = `{ json: false, quiet: false, ${AUTO} }`) {
  return `
    import { makeProgress } from ${JSON.stringify(join(import.meta.dir, "view.ts"))};
    const view = makeProgress(process.stderr, ${options});
    view.report({ step: "resolve", message: "Resolving" });
    for (let done = 0; done <= 1000; done += 100) {
      view.report({ step: "layer", message: "Downloading", done, total: 1000, unit: "bytes" });
      await Bun.sleep(20);
    }
    view.report({ step: "write", message: "Writing" });
    await Bun.sleep(150);
    ${end}`;
}

async function inPipe(script: string): Promise<string> {
  const child = Bun.spawn([process.execPath, "-e", script], { stderr: "pipe" });
  return await new Response(child.stderr).text();
}

async function inTerminal(script: string): Promise<string> {
  const argv = [process.execPath, "-e", script];
  const { screen, ended } = onTerminal(argv, {
    columns: 60,
    rows: 10,
    env: { ...process.env, TERM: "xterm" },
  });
  await ended;
  return screen.text;
}

const timeless = (text: string) => text.replace(/[\d.]+m?s$/gm, "TIME");
const plain = `{ json: false, quiet: false, ${PLAIN} }`;

test("in a pipe there are warnings only, with --progress=plain a line for each finished step", async () => {
  const warn = `view.report({ step: "warning: x", message: "warning: mind the gap" });`;
  expect(await inPipe(program(`${warn} view.finish();`))).toBe("warning: mind the gap\n");
  const text = await inPipe(program(`${warn} view.finish(); view[Symbol.dispose]();`, plain));
  expect(timeless(text)).toBe(
    [
      "Resolving  TIME",
      "Downloading  1000 B  TIME",
      // It is no step, and ends none.
      "warning: mind the gap",
      "Writing  TIME",
      "",
    ].join("\n"),
  );
});

test("what a step prints comes before it is finished, and one that fails is marked once", async () => {
  const said = `view.report({ step: "write", message: "Writing: half", lines: ["half"] });`;
  const done = await inPipe(program(`${said} view.finish(); view[Symbol.dispose]();`, plain));
  expect(timeless(done)).toEndWith("  half\nWriting  TIME\n");
  const failed = await inPipe(program(`${said} view[Symbol.dispose]();`, plain));
  expect(timeless(failed)).toEndWith("  half\n✗ Writing  TIME\n");
  const cancelled = plain.replace("false }", "true }").replace("=> false", "=> true");
  const left = await inPipe(program("view[Symbol.dispose]();", cancelled));
  expect(left).not.toContain("Writing");
});

test("with --json each report is a document, with --quiet there is nothing", async () => {
  const json = await inPipe(program("view.finish();", `{ json: true, quiet: false, ${AUTO} }`));
  const lines = json
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines[0]).toEqual({ progress: { step: "resolve", message: "Resolving" } });
  expect(lines.at(-1)).toEqual({ progress: { step: "write", message: "Writing" } });
  expect(lines.length).toBeLessThan(8);
  expect(await inPipe(program("view.finish();", `{ json: false, quiet: true, ${AUTO} }`))).toBe("");
});

test("on a terminal what is over stays, and the cursor comes back", async () => {
  const screen = await inTerminal(program("view.finish(); view[Symbol.dispose]();"));
  expect(screen).toStartWith("\x1b[?25l");
  expect(screen).toEndWith("\x1b[?25h");
  const final = render(screen);
  expect(final.map((line) => line.replace(/\s+[\d.]+m?s$/, ""))).toEqual([
    "✓ Resolving",
    "✓ Downloading  1000 B",
    "✓ Writing",
  ]);
});

test("work that fails is marked, work that is cancelled is not, and the cursor comes back", async () => {
  const failed = await inTerminal(program("view[Symbol.dispose]();"));
  expect(
    render(failed)
      .at(-1)
      ?.replace(/\s+[\d.]+m?s$/, ""),
  ).toBe("✗ Writing");
  expect(failed).toEndWith("\x1b[?25h");
  const cancelled = `{ json: false, quiet: false, ${AUTO.replace("=> false", "=> true")} }`;
  const left = await inTerminal(program("view[Symbol.dispose]();", cancelled));
  expect(render(left).join("\n")).not.toContain("Writing");
  expect(left).toEndWith("\x1b[?25h");
  expect(await inTerminal(program("process.exit(3);"))).toEndWith("\x1b[?25h");
});

/** The lines that a terminal shows after the few sequences that the view uses. */
function render(output: string): string[] {
  const lines: string[] = [""];
  let row = 0;
  let column = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the sequences of a terminal
  for (const [token] of output.matchAll(/\x1b\[\??[0-9;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+/g)) {
    const up = /\[(\d+)A$/.exec(token)?.[1];
    if (token === "\n") row++;
    else if (token === "\r") column = 0;
    else if (up) row -= Number(up);
    else if (token === "\x1b[J")
      lines.splice(row, lines.length, (lines[row] ?? "").slice(0, column));
    else if (!token.startsWith("\x1b")) {
      const line = (lines[row] ?? "").padEnd(column);
      lines[row] = line.slice(0, column) + token;
      column += token.length;
    }
    while (lines.length <= row) lines.push("");
  }
  return lines.filter((line) => line !== "");
}
