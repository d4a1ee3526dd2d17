// E2B's client at work for bench/api.ts: each line of stdin is something to do, and is answered by a line.

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Sandbox } from "e2b";

const [template, file] = process.argv.slice(2);
const options = { timeoutMs: 3_600_000, requestTimeoutMs: 600_000 };
let current;
let many = [];
const data = await readFile(file);

const work = {
  /** To the first command's end. */
  async create() {
    current = await Sandbox.create(template, options);
    await current.commands.run("true");
  },
  async kill() {
    await current?.kill();
  },
  async run(count) {
    for (let left = Number(count); left > 0; left--) await current.commands.run("true");
  },
  async up() {
    await current.files.write("/tmp/up", new Blob([data]), { useOctetStream: true, ...options });
  },
  async upForm() {
    await current.files.write("/tmp/up", new Blob([data]), options);
  },
  async down() {
    const bytes = await current.files.read("/tmp/up", { format: "bytes", ...options });
    if (bytes.length !== data.length) throw new Error(`${bytes.length} bytes`);
  },
  async alive(count) {
    for (let left = Number(count); left > 0; left -= 5) {
      const few = Array.from({ length: Math.min(left, 5) }, () =>
        Sandbox.create(template, options),
      );
      many.push(...(await Promise.all(few)));
    }
  },
  async everywhere() {
    const results = await Promise.all(
      many.map((each) => each.commands.run("echo $((6 * 7))", options)),
    );
    const wrong = results.find(({ stdout }) => stdout !== "42\n");
    if (wrong) throw new Error(JSON.stringify(wrong));
  },
  async killAll() {
    await Promise.all(many.map((each) => each.kill()));
    many = [];
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...args] = line.split(" ");
  try {
    await work[name](...args);
    console.log("ok");
  } catch (error) {
    console.log(`${line}: ${error.stack}`.replaceAll("\n", " "));
  }
}
