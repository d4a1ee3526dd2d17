/** Sessions through the real agent, which is built with the sanitizers and runs on this computer. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { agentFixture, codeOf, processGone, textOf } from "#test/guest-fixture.ts";
import { type Agent, connectAgent } from "./agent.ts";

let folder: string;
let options: { folder: string };

/** Whatever a test leaves is ended, its keeper too: before the agent is, whose hook comes later. */
afterEach(async () => {
  const agent = await connectAgent(await fixture.local.connect());
  for (const { name } of await agent.sessions.list(options)) {
    await agent.sessions.signal(name, "SIGKILL", options).catch(() => {});
    await agent.sessions.wait(name, options);
    await agent.sessions.remove(name, options);
  }
  agent.close();
  expect(readdirSync(folder).filter((entry) => entry.endsWith(".session"))).toEqual([]);
});

const fixture = agentFixture();

beforeEach(() => {
  folder = mkdtempSync(join(fixture.folder, "s-"));
  options = { folder };
});

async function startShell(name: string, script: string, ring_bytes?: number): Promise<void> {
  const ring = ring_bytes === undefined ? {} : { ring_bytes };
  await fixture.agent.sessions.start(name, { argv: ["sh", "-c", script], ...ring }, options);
}

/** Everything from `offset` on; checks that no byte is missing. */
async function readAll(agent: Agent, name: string, offset = 0): Promise<string> {
  let text = "";
  let at = offset;
  for await (const { offset: from, bytes } of agent.sessions.attach(name, { ...options, offset })) {
    expect(from).toBe(at);
    at += bytes.length;
    text += textOf(bytes);
  }
  return text;
}

test("a command's output is kept after its end, from any offset, until it is removed", async () => {
  const { sessions } = fixture.agent;
  await startShell("job", "echo out; echo err >&2; exit 3");
  expect(await sessions.wait("job", options)).toEqual({ code: 3 });
  expect((await readAll(fixture.agent, "job")).split("\n").toSorted()).toEqual(["", "err", "out"]);
  expect((await readAll(fixture.agent, "job", 4)).length).toBe(4);
  expect(await sessions.list(options)).toMatchObject([
    { name: "job", status: { code: 3 }, outputStart: 0, outputEnd: 8, terminal: false },
  ]);
  expect((await sessions.info("job", options)).argv[0]).toBe("sh");
  await sessions.remove("job", options);
  expect(await codeOf(sessions.info("job", options))).toBe("not_found");
});

test("names are checked and unique, and a program that does not start leaves nothing", async () => {
  const { sessions } = fixture.agent;
  for (const name of ["", "../x", ".hidden", "a b", "n".repeat(65)]) {
    expect([name, await codeOf(sessions.start(name, { argv: ["true"] }, options))]).toEqual([
      name,
      "invalid_argument",
    ]);
  }
  await startShell("one", "sleep 60");
  expect(await codeOf(sessions.start("one", { argv: ["true"] }, options))).toBe("already_exists");
  expect(await codeOf(sessions.start("two", { argv: ["/no/such"] }, options))).toBe(
    "command_not_found",
  );
  expect((await sessions.list(options)).map(({ name }) => name)).toEqual(["one"]);
  expect(await codeOf(sessions.remove("one", options))).toBe("invalid_state");
  await sessions.signal("one", "TERM", options);
  expect(await sessions.wait("one", options)).toEqual({ signal: "SIGTERM" });
  expect(await codeOf(sessions.signal("one", "TERM", options))).toBe("invalid_state");
});

test("no byte is lost or repeated by a host that breaks off again and again", async () => {
  const lines = 20_000;
  await startShell("count", `i=0; while [ $i -lt ${lines} ]; do echo $i; i=$((i+1)); done`, MiB);
  let text = "";
  for (let round = 1; ; round++) {
    const agent = await connectAgent(await fixture.local.connect());
    let isOver = true;
    try {
      const from = text.length;
      for await (const chunk of agent.sessions.attach("count", { ...options, offset: from })) {
        expect(chunk.offset).toBe(text.length);
        text += textOf(chunk.bytes);
        // The connection is cut with more on its way.
        if (text.length - from > 5000 * round) agent.close();
      }
    } catch {
      isOver = false;
    }
    agent.close();
    if (isOver) break;
  }
  expect(text).toBe(`${Array.from({ length: lines }, (_, index) => index).join("\n")}\n`);
});

test("the ring is bounded, the command never waits, and a gap is seen", async () => {
  await startShell("flood", "head -c 5000000 /dev/zero; echo end", 100_000);
  expect(await fixture.agent.sessions.wait("flood", options)).toEqual({ code: 0 });
  const chunks = await Array.fromAsync(fixture.agent.sessions.attach("flood", options));
  expect(chunks[0]?.offset).toBe(5_000_004 - 100_000);
  const all = Buffer.concat(chunks.map(({ bytes }) => bytes));
  expect(all.length).toBe(100_000);
  expect(textOf(all.subarray(-4))).toBe("end\n");
});

test("input is sent in pieces, not twice over a reconnect, and has an end", async () => {
  const { sessions } = fixture.agent;
  await startShell("cat", "exec cat");
  const send = (text: string, offset?: number) =>
    sessions.send("cat", new TextEncoder().encode(text), {
      ...options,
      ...(offset === undefined ? {} : { offset }),
    });
  expect(await send("one,")).toBe(4);
  expect(await send("one,two,", 0)).toBe(8);
  expect(await send("two,three", 4)).toBe(13);
  expect(await codeOf(send("far", 99))).toBe("invalid_argument");
  await sessions.closeInput("cat", options);
  expect(await sessions.wait("cat", options)).toEqual({ code: 0 });
  expect(await readAll(fixture.agent, "cat")).toBe("one,two,three");
  expect(await codeOf(send("more"))).toBe("invalid_state");
});

test("much input goes through a command that reads slowly", async () => {
  const data = crypto.getRandomValues(new Uint8Array(MiB));
  writeFileSync(join(folder, "sum"), "");
  await startShell("slow", `sleep 0.3; sha256sum >${folder}/sum`);
  expect(await fixture.agent.sessions.send("slow", data, options)).toBe(data.length);
  await fixture.agent.sessions.closeInput("slow", options);
  expect(await fixture.agent.sessions.wait("slow", options)).toEqual({ code: 0 });
  const sum = await Bun.file(join(folder, "sum")).text();
  expect(sum.slice(0, 64)).toBe(new Bun.CryptoHasher("sha256").update(data).digest("hex"));
});

test("a terminal session is resized, takes keys, and several watch it", async () => {
  const { sessions } = fixture.agent;
  const request = { argv: ["sh"], tty: { columns: 100, rows: 30 } };
  await sessions.start("tty", request, options);
  expect((await sessions.info("tty", options)).terminal).toBe(true);
  const until = async (part: string): Promise<void> => {
    let text = "";
    for await (const { bytes } of sessions.attach("tty", options)) {
      text += textOf(bytes);
      if (text.includes(part)) return;
    }
    throw new Error(`No ${part} in ${text}`);
  };
  const watchers = Promise.all([until("30 100"), until("30 100")]);
  await sessions.send("tty", new TextEncoder().encode("stty size\n"), options);
  await watchers;
  await sessions.resize("tty", { columns: 77, rows: 11 }, options);
  await sessions.send("tty", new TextEncoder().encode("stty size\n"), options);
  await until("11 77");
  await sessions.closeInput("tty", options);
  expect(await sessions.wait("tty", options)).toEqual({ code: 0 });
});

test("a session survives its host and its agent", async () => {
  const { pid } = await fixture.agent.sessions.start(
    "orphan",
    { argv: ["sh", "-c", "read line; echo got $line"] },
    options,
  );
  fixture.agent.close();
  process.kill(fixture.local.pid, "SIGKILL");
  await fixture.restart();
  const agent = fixture.agent;
  await agent.sessions.send("orphan", new TextEncoder().encode("it\n"), options);
  expect(await agent.sessions.wait("orphan", options)).toEqual({ code: 0 });
  expect(await readAll(agent, "orphan")).toBe("got it\n");
  await processGone(pid);
  await agent.sessions.remove("orphan", options);
  expect(existsSync(join(folder, "orphan.session"))).toBe(false);
});
