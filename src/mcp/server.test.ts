/** Tools and resources, by the SDK's own client, on a daemon whose commands run on this host. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Client, InMemoryTransport } from "@modelcontextprotocol/client";
import { connect } from "#sdk/client.ts";
import { openExec } from "#sdk/exec.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { type LocalDaemon, makeVm, startLocalDaemon } from "#test/local-daemon.ts";
import { until } from "#test/until.ts";
import type { Backend, Profile } from "./backend.ts";
import { makeServer, toolsOf } from "./server.ts";

setDefaultTimeout(LIMIT_MS);

let daemon: LocalDaemon;
let client: Client;
beforeAll(async () => {
  daemon = await startLocalDaemon();
  daemon.vms.set("mine", { ...makeVm("mine"), labels: { "banger.mcp": "agent" } });
  client = await clientOf({ owner: "agent" });
});
afterAll(async () => {
  await client.close();
  await daemon[Symbol.asyncDispose]();
});

async function clientOf({
  profile = "default",
  ...options
}: Partial<Backend> & { profile?: Profile }): Promise<Client> {
  const backend: Backend = {
    client: async () => connect(daemon),
    exec: (open, options) => openExec(daemon.socket, open, options),
    scope: "full",
    owner: undefined,
    ...options,
  };
  const [ours, theirs] = InMemoryTransport.createLinkedPair();
  await makeServer(backend, { profile, ttl_ms: 3_600_000 }).connect(ours);
  const client = new Client({ name: "test", version: "1" });
  await client.connect(theirs);
  return client;
}

type Answer = Record<string, unknown> & { isError: boolean; text: string };

async function call(name: string, args: Record<string, unknown>, from = client): Promise<Answer> {
  const {
    structuredContent,
    isError = false,
    content,
  } = await from.callTool({
    name,
    arguments: args,
  });
  const [first] = content;
  return { ...Object(structuredContent), isError, text: first?.type === "text" ? first.text : "" };
}

test("ten tools by default, each with schemas and annotations; more in the full profile", async () => {
  const { tools } = await client.listTools();
  expect(tools.map(({ name }) => name)).toEqual(
    "create exec read write list diff fork snapshot ports remove".split(" "),
  );
  await using full = await clientOf({ profile: "full" }).then(disposable);
  const all = (await full.client.listTools()).tools;
  expect(all.length).toBeGreaterThan(20);
  for (const { name, description, inputSchema, outputSchema, annotations } of all) {
    expect([name, inputSchema.type, outputSchema?.type]).toEqual([name, "object", "object"]);
    expect(description?.length, name).toBeGreaterThan(20);
    expect(annotations?.title, name).toBeTruthy();
    expect(typeof annotations?.readOnlyHint, name).toBe("boolean");
  }
});

function disposable(client: Client) {
  return { client, [Symbol.asyncDispose]: () => client.close() };
}

test("a scope has no tools that it may not use", () => {
  const read = toolsOf({ scope: "read" }, { profile: "full" });
  expect(read.every(({ annotations }) => annotations.readOnlyHint)).toBe(true);
  expect(read.map(({ name }) => name)).toContain("read");
  const own = toolsOf({ scope: "own" }, { profile: "full" }).map(({ name }) => name);
  expect(own).not.toContain("copy_in");
  expect(toolsOf({ scope: "full" }, { profile: "full" }).map(({ name }) => name)).toContain(
    "copy_in",
  );
});

test("a client sees its own machines, and others do not exist for it", async () => {
  const { machines } = await call("list", {});
  expect(machines).toMatchObject([{ name: "mine", network: "user" }]);
  for (const name of ["exec", "remove"]) {
    const refused = await call(name, { machine: "testbox", argv: ["true"] });
    expect(refused).toMatchObject({ isError: true });
    expect(refused.text).toContain('not_found: no such machine "testbox" of this client\nNext: ');
  }
  expect(daemon.vms.has("testbox")).toBe(true);
  await using all = await clientOf({ owner: undefined }).then(disposable);
  const seen = await call("exec", { machine: "testbox", argv: ["true"] }, all.client);
  expect(seen).toMatchObject({ isError: false, exitCode: 0 });
});

test("a client sees snapshots of its own machines, and creates nothing from those of others", async () => {
  const { id: machineId, name: machine, state: __, network, createdAt, ...rest } = makeVm("mine");
  const made = {
    ...rest,
    machine,
    machineId,
    network: network.mode,
    createdAt,
    memory: true,
    size_bytes: 1,
  };
  daemon.snapshots.push(
    // Of a machine that is gone: a name may be used again.
    {
      ...made,
      name: "own",
      machine: "gone",
      machineId: "0".repeat(32),
      labels: { "banger.mcp": "agent" },
    },
    { ...made, name: "theirs", labels: { "banger.mcp": "other" } },
    { ...made, name: "plain" },
  );
  const { snapshots } = await call("list", {});
  expect(snapshots).toMatchObject([{ name: "own", machine: "gone" }]);
  await using full = await clientOf({ owner: "agent", profile: "full" }).then(disposable);
  for (const name of ["theirs", "plain", "none"]) {
    const refused = [
      await call("create", { snapshot: name }),
      await call("snapshot_remove", { name }, full.client),
    ];
    for (const { isError, text } of refused) {
      expect(isError).toBe(true);
      expect(text).toContain(`not_found: no such snapshot "${name}" of this client\n`);
    }
  }
  await using all = await clientOf({ owner: undefined }).then(disposable);
  expect((await call("list", {}, all.client))["snapshots"]).toHaveLength(3);
  daemon.snapshots.length = 0;
});

test("a command gives its status and output, whatever they are", async () => {
  const failed = await call("exec", { machine: "mine", command: "echo out; echo err >&2; exit 3" });
  const output = { exitCode: 3, timedOut: false, stdout: "out\n", stderr: "err\n" };
  expect(failed).toMatchObject({ isError: false, ...output });
  expect(JSON.parse(failed.text)).toMatchObject(output);
  expect(await call("exec", { machine: "mine", argv: ["cat"], stdin: "in" })).toMatchObject({
    stdout: "in",
  });
  const killed = await call("exec", { machine: "mine", command: "kill -9 $$" });
  expect(killed).toMatchObject({ signal: "KILL" });
  expect(killed).not.toHaveProperty("exitCode");
});

test("long output is cut, and what is left out is counted", async () => {
  const args = { machine: "mine", command: "seq 1 200000", maxOutput: 1000 };
  const { stdout, stdoutOmitted_bytes } = await call("exec", args);
  expect(stdout).toStartWith("1\n2\n3\n");
  expect(stdout).toEndWith("199999\n200000\n");
  expect(stdoutOmitted_bytes).toBe(1_288_895 - 1000);
  expect(stdout).toContain(`[… ${stdoutOmitted_bytes} bytes left out …]`);
});

test("what is wrong with the arguments is said, before anything is done", async () => {
  const cases: [string, Record<string, unknown>, string][] = [
    ["exec", { machine: "mine" }, "give one of command and argv"],
    ["exec", { machine: "mine", argv: ["a"], timeout: "long" }, "invalid value for timeout"],
    ["exec", { machine: "mine", argv: ["a"], timeout: "2h" }, "is not between"],
    ["exec", { argv: ["a"] }, "machine"],
    ["create", { image: "a", snapshot: "b" }, "conflicting arguments: image and snapshot"],
    ["create", { image: "a", ttl: "2h" }, "is not between 1s and 1h0m"],
    ["create", { image: "a", memory: "lots" }, "invalid value for memory: invalid size"],
    ["write", { machine: "mine", path: "/a", content: "!", encoding: "base64" }, "invalid base64"],
    ["snapshot", { machine: "mine", action: "restore" }, "missing argument: name"],
  ];
  const opened = daemon.opened.length;
  for (const [name, args, said] of cases) {
    const { isError, text } = await call(name, args);
    expect([name, isError]).toEqual([name, true]);
    expect(text).toContain(said);
  }
  expect(daemon.opened.length).toBe(opened);
});

test("progress is reported to who asks for it, and a cancelled call ends its command", async () => {
  const abort = new AbortController();
  const messages: string[] = [];
  const command = "echo at work; exec sleep 1000";
  const work = client.callTool(
    { name: "exec", arguments: { machine: "mine", command } },
    {
      signal: abort.signal,
      onprogress({ message = "" }) {
        messages.push(message);
        abort.abort();
      },
    },
  );
  await expect(work).rejects.toThrow();
  expect(messages).toEqual(["at work"]);
  await until(() => daemon.sessions === 0);
});

test("logs are resources of the client's machines, and what is missing says so", async () => {
  const { resources } = await client.listResources();
  expect(resources.map(({ uri }) => uri)).toEqual(["banger://machines/mine/log"]);
  const { contents } = await client.readResource({ uri: "banger://machines/mine/log" });
  expect(contents).toMatchObject([{ mimeType: "text/plain", text: "one\ntwo\n" }]);
  const { resourceTemplates } = await client.listResourceTemplates();
  expect(resourceTemplates.map(({ uriTemplate }) => uriTemplate)).toEqual([
    "banger://machines/{machine}/log",
    "banger://machines/{machine}/files/{+path}",
  ]);
  const bad = client.readResource({ uri: "banger://machines/mine/files/%zz" });
  await expect(bad).rejects.toThrow("invalid_argument: invalid percent-encoding");
  const other = client.readResource({ uri: "banger://machines/testbox/log" });
  await expect(other).rejects.toThrow("no such machine");
  const { completion } = await client.complete({
    ref: { type: "ref/resource", uri: "banger://machines/{machine}/log" },
    argument: { name: "machine", value: "m" },
  });
  expect(completion.values).toEqual(["mine"]);
});

test("a failure of the daemon is an answer", async () => {
  await using lost = await clientOf({
    client: async () => connect({ socket: `${daemon.folder}/none.sock` }),
  }).then(disposable);
  const { isError, text } = await call("list", {}, lost.client);
  expect(isError).toBe(true);
  expect(text).toMatch(/^unavailable: .*\nNext: .*\nFor the user: /);
});
