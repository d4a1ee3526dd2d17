import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LIMIT_MS } from "#test/limit.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

/** A program that writes an empty text, a short, a long and again a short one. */
const PROGRAM = `
  import { writeErr, writeOut, settled, tell } from ${JSON.stringify(join(import.meta.dir, "stdio.ts"))};
  await writeOut("");
  await writeOut("first\\n");
  void writeOut("x".repeat(300_000) + "\\n");
  await writeOut(new TextEncoder().encode("last\\n"));
  await writeErr("");
  tell("told\\n");
  await settled();`;
const WRITTEN = `first\n${"x".repeat(300_000)}\nlast\n`;

/** The program in a shell, where "$@" is its command line. */
function inShell(script: string, ...more: string[]) {
  return Bun.spawn(["bash", "-c", script, ...more, process.execPath, "-e", PROGRAM], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

test("what a file had before is still there, and what is written comes behind it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-stdio-"));
  const [out, err] = [join(folder, "out"), join(folder, "err")];
  try {
    writeFileSync(out, "before\n");
    writeFileSync(err, "before\n");
    await inShell('out=$0 err=$1; shift; "$@" >> "$out" 2>> "$err"', out, err).exited;
    expect(readFileSync(out, "utf8") === `before\n${WRITTEN}`).toBe(true);
    expect(readFileSync(err, "utf8")).toBe("before\ntold\n");
    await inShell('out=$0; { echo one; "$@"; echo two; } > "$out"', out).exited;
    expect(readFileSync(out, "utf8") === `one\n${WRITTEN}two\n`).toBe(true);
    // Opened to be written over from its beginning: the rest stays.
    writeFileSync(out, "y".repeat(400_000));
    await inShell('out=$0; "$@" 1<> "$out"', out).exited;
    expect(statSync(out).size).toBe(400_000);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a slow reader gets each byte once, also where nothing may block", async () => {
  const slow = inShell('"$@" | { sleep 0.2; cat; }', "bash");
  expect((await new Response(slow.stdout).text()) === WRITTEN).toBe(true);
  const nonBlocking = "fcntl(STDOUT, F_SETFL, O_WRONLY | O_NONBLOCK); exec @ARGV";
  const child = inShell(
    `set -o pipefail; perl -MFcntl -e "$0" "$@" | { sleep 0.2; cat; }`,
    nonBlocking,
  );
  expect((await new Response(child.stdout).text()) === WRITTEN).toBe(true);
  expect(await child.exited).toBe(0);
});

test("a reader that leaves is EPIPE, a full disk is said", async () => {
  const left = inShell('set -o pipefail; "$@" | true', "bash");
  expect(await new Response(left.stderr).text()).toContain("EPIPE");
  expect(await left.exited).not.toBe(0);
  const full = inShell('"$@" > /dev/full', "bash");
  expect(await new Response(full.stderr).text()).toContain(
    "Cannot write to standard output: no space left on device",
  );
});

test("text loses what steers a terminal, bytes and JSON lose nothing", async () => {
  const evil =
    "a\u001b]52;c;ZXZpbA==\u0007b\u001b[2J\u001b[31mc\u001b[0m\r\nd\re\u009b1m\u202e\u061cf\t\u001b";
  const program = `
    import { asIs, tell, settled, writeOut } from ${JSON.stringify(join(import.meta.dir, "stdio.ts"))};
    import { terminalJson } from ${JSON.stringify(join(import.meta.dir, "printable.ts"))};
    const evil = ${JSON.stringify(evil)};
    tell(evil);
    await writeOut(evil + "\\n");
    await writeOut(asIs(evil + "\\n"));
    await writeOut(terminalJson({ evil }) + "\\n");
    await settled();`;
  const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const safe = "ab\u001b[31mc\u001b[0m\r\nde1mf\t";
  expect(err).toBe(safe);
  const json = out.slice(`${safe}\n${evil}\n`.length);
  expect(out).toStartWith(`${safe}\n${evil}\n`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
  expect(json).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u202e]/);
  expect(JSON.parse(json)).toEqual({ evil });
});
