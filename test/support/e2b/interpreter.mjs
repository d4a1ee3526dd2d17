// Code in a sandbox, with E2B's code interpreter client: node interpreter.mjs [URL OF A SERVER WITHOUT A SANDBOX]
import assert from "node:assert/strict";
import { Sandbox } from "@e2b/code-interpreter";

const [sandboxUrl] = process.argv.slice(2);
const sandbox = sandboxUrl
  ? new Sandbox({ sandboxId: "none", envdVersion: "0.6.13", sandboxUrl })
  : await Sandbox.create({ timeoutMs: 1_800_000, requestTimeoutMs: 600_000 });
const LONG = { timeoutMs: 600_000, requestTimeoutMs: 600_000 };
const run = (code, options = {}) => sandbox.runCode(code, { ...LONG, ...options });
try {
  assert.equal((await run("x = 1")).text, undefined);
  const second = await run("x += 1; x");
  assert.equal(second.text, "2");
  assert.equal(second.executionCount, 2);

  const printed = [];
  const both = await run("import sys; print('out'); print('err', file=sys.stderr)", {
    onStdout: ({ line }) => printed.push(line),
  });
  assert.deepEqual(both.logs, { stdout: ["out\n"], stderr: ["err\n"] });
  assert.deepEqual(printed, ["out\n"]);

  const failed = await run("1 / 0");
  assert.equal(failed.error.name, "ZeroDivisionError");
  assert.match(failed.error.traceback, /division by zero/);

  const shown = await run(`from IPython.display import display, HTML, SVG
display(HTML("<b>bold</b>"), SVG("<svg xmlns='http://www.w3.org/2000/svg'/>"))
{"key": [1, 2]}`);
  assert.deepEqual(
    shown.results.map((result) => result.formats()),
    [["html"], ["svg"], []],
  );
  assert.equal(shown.results[0].html, "<b>bold</b>");
  assert.equal(shown.text, "{'key': [1, 2]}");

  const variable = "import os; os.environ.get('OF_CELL')";
  assert.equal((await run(variable, { envs: { OF_CELL: "it's" } })).text, `"it's"`);
  assert.equal((await run(variable)).text, undefined);
  await assert.rejects(run("1", { language: "cobol" }), /400/);
  assert.equal((await run("!echo from a shell")).logs.stdout.join("").trim(), "from a shell");

  const context = await sandbox.createCodeContext({ cwd: "/tmp", ...LONG });
  assert.deepEqual([context.language, context.cwd], ["python", "/tmp"]);
  assert.equal((await run("import os; os.getcwd()", { context })).text, "'/tmp'");
  assert.equal((await run("x", { context })).error.name, "NameError");
  assert.equal((await run("x")).text, "2");
  assert.equal((await sandbox.listCodeContexts()).length, 2);
  await run("y = 1", { context });
  await sandbox.restartCodeContext(context, LONG);
  assert.equal((await run("y", { context })).error.name, "NameError");
  await sandbox.removeCodeContext(context);
  assert.equal((await sandbox.listCodeContexts()).length, 1);
  await assert.rejects(run("1", { context }), { name: "NotFoundError" });

  // A client that no longer waits interrupts its cell, and what the kernel knew stays.
  const slow = "import time\nfor each in range(100_000): time.sleep(0.1)";
  await assert.rejects(sandbox.runCode(slow, { timeoutMs: 2000 }), { name: "TimeoutError" });
  assert.equal((await run("x")).text, "2");
  const died = await run("import os; os._exit(1)");
  assert.match(died.error.value, /kernel died/);
  assert.equal((await run("x")).error.name, "NameError");
} finally {
  if (!sandboxUrl) await sandbox.kill();
}
console.log("done");
// The client's timers of failed requests would keep it running.
process.exit();
