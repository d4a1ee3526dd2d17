import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isContractProcedure } from "@orpc/contract";
import { createRouterClient } from "@orpc/server";
import { z } from "zod";
import { contract } from "#api/contract.ts";
import { type ExecOpen, execOpen } from "#api/exec.ts";
import { hostPath, hostPathOrAddress } from "#api/fields.ts";
import { type Caller, type TokenScope, tokenScope, USER } from "#api/serve/caller.ts";
import { vmRef } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { Services } from "#daemon/compose.ts";
import { makeRouter } from "#daemon/handlers/router.ts";
import { CallCounts } from "#daemon/metrics.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { makeVm } from "#test/local-daemon.ts";
import { unused } from "#test/served-api.ts";
import { accessOf, authorizeExec, type Domains, seenEvents } from "./authorize.ts";
import { clientFor } from "./mounts.ts";

interface Procedure {
  path: string[];
  method: string;
  route: string;
  input: z.ZodObject | undefined;
}

const procedures = walk(contract, []);
const machines = ["of-own", "of-other", "of-user"] as const;
const vms = {
  "of-own": { ...makeVm("of-own"), token: "own" },
  "of-other": { ...makeVm("of-other"), token: "other" },
  "of-user": makeVm("of-user"),
};
const domains: Domains = {
  vms: {
    list: () => Object.values(vms),
    show: (ref) => found(vms, ref),
  },
  // They have the names of their machines.
  snapshots: { show: (name) => found(vms, name) },
  volumes: { find: (name) => Object.values(vms).find((vm) => vm.name === name) },
};

function found<T>(all: Record<string, T>, name: string): T {
  const one = all[name];
  if (one) return one;
  throw new BangerError("not_found", `there is no ${name}`);
}

function caller(scope: TokenScope): Caller {
  return { token: scope, scope, name: `${scope}-token` };
}

const services: Services = unused({
  vms: unused(domains.vms),
  snapshots: unused(domains.snapshots),
  volumes: unused(domains.volumes),
  calls: new CallCounts(),
  shutdown: () => {},
});
const router = makeRouter(services);

/** Values for the fields that procedures require. */
const SAMPLES: Record<string, unknown> = {
  name: "of-own",
  vm: "of-own",
  to: "another",
  path: "/nowhere/file",
  reference: "debian:bookworm",
  session: "s",
  snapshot: "of-own",
  ports: [],
  allow: [],
  data: "",
  signal: "INT",
  size: { columns: 80, rows: 24 },
  argv: ["true"],
  recipe: "/nowhere/recipe",
  suite: "bookworm",
  format: "oci",
  checkpoint: 1,
  from: "/nowhere/catalog",
  catalog: "/nowhere/catalog",
  key: "/nowhere/key",
  target: "/nowhere/target",
  url: "https://example.org/catalog.json",
  source: "/nowhere/source",
  distro: "debian",
  rule: "example.com:443",
  volume: "data",
  size_bytes: 1 << 30,
};

function inputOf({ input, path }: Procedure, machine: string): unknown {
  if (!input) return undefined;
  const required = Object.entries(input.shape).filter(
    ([, field]) => !field.safeParse(undefined).success,
  );
  const value: Record<string, unknown> = Object.fromEntries(
    required.map(([field, schema]) => [
      field,
      schema === hostPath ? "/nowhere/file" : SAMPLES[field],
    ]),
  );
  for (const field of namesIn(input, path)) value[field] = machine;
  if (path.join(".") === "image.build") value["fromImage"] = "debian";
  if (path[0] === "secret") value["name"] = "TOKEN";
  if (path.join(".") === "workspace.export") value["format"] = "tar";
  if (path.join(".") === "policy.answer") {
    Object.assign(value, { id: "question", allow: true, scope: "once" });
  }
  if (path.join(".") === "secret.set") value["source"] = { value: "for-a-test" };
  expect(input.safeParse(value).error?.issues, `a sample for ${path.join(".")}`).toBeUndefined();
  return value;
}

/** Fields that must name a machine, a snapshot or a volume. */
function namesIn(input: z.ZodObject, path: readonly string[]): string[] {
  const rule = accessOf(path);
  return [machineField(input), rule?.snapshot, rule?.volume].filter(
    (field) => field !== undefined && !input.shape[field]?.safeParse(undefined).success,
  ) as string[];
}

type Outcome = "reached" | "denied" | "missing";

async function outcomeOf(procedure: Procedure, by: Caller, machine: string): Promise<Outcome> {
  const client: unknown = createRouterClient(router, { context: { caller: by } });
  const run = procedure.path.reduce<unknown>((at, part) => Reflect.get(Object(at), part), client);
  const input = inputOf(procedure, machine);
  try {
    const output: unknown = await (run as (input: unknown) => Promise<unknown>)(input);
    if (typeof output === "object" && output !== null && "return" in output) {
      await (output as AsyncGenerator).return(undefined);
    }
    return "reached";
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    if (code === "permission_denied" && message.startsWith("token ")) return "denied";
    if (code === "not_found" && message.startsWith("no such ")) return "missing";
    return "reached";
  }
}

/** "yes", "own" where only its own, "-" where nothing. */
async function cellOf(procedure: Procedure, scope: TokenScope): Promise<string> {
  const by = caller(scope);
  const { input, path } = procedure;
  const isAbout = input !== undefined && namesIn(input, path).length > 0;
  const names = isAbout ? machines : machines.slice(0, 1);
  const outcomes = await Promise.all(names.map((name) => outcomeOf(procedure, by, name)));
  const text = outcomes.join(" ");
  if (/^(reached ?)+$/.test(text)) return "yes";
  if (text === "reached missing missing") return "own";
  if (/^(denied ?)+$/.test(text)) return "-";
  throw new Error(`${procedure.path.join(".")} by ${scope}: ${text}`);
}

test("each procedure permits each scope what docs/api-scopes.md says, and nothing more", async () => {
  const rows: string[] = [];
  for (const procedure of procedures) {
    const cells = [];
    for (const scope of tokenScope.options) cells.push(await cellOf(procedure, scope));
    rows.push(`| \`${procedure.method} ${procedure.route}\` | ${cells.join(" | ")} |`);
  }
  const page = readFileSync(join(import.meta.dir, "../../../docs/api-scopes.md"), "utf8");
  const documented = page.split("\n").filter((line) => line.startsWith("| `"));
  expect(documented).toEqual(rows);
});

test("the user at the socket may call everything", async () => {
  for (const procedure of procedures) {
    expect(await outcomeOf(procedure, USER, "of-other"), procedure.path.join(".")).toBe("reached");
  }
});

test("a machine that is another's is answered as one that is not there", async () => {
  const own = clientFor(router, caller("own"));
  const errors = await Promise.all(
    ["of-other", "of-user", "not-there"].map(async (name) => {
      const { code, message, hint } = await bangerErrorOf(own.vm.show({ name }));
      return { code, message: message.replace(name, "NAME"), hint };
    }),
  );
  expect(new Set(errors.map((each) => JSON.stringify(each))).size).toBe(1);
  expect(errors[0]).toMatchObject({ code: "not_found", message: 'no such machine "NAME"' });
});

test("every procedure has an entry, and what the contract shows of it is respected", () => {
  for (const { path, method, input } of procedures) {
    const name = path.join(".");
    const rule = accessOf(path);
    if (!rule) throw new Error(`${name} has no entry in src/api/serve/access.ts`);
    if (method !== "GET") expect(rule.scopes, `${name} changes something`).not.toContain("read");
    const fields = Object.values(input?.shape ?? {}).map(bare);
    if (fields.includes(hostPath) || fields.includes(hostPathOrAddress)) {
      expect(rule.scopes, `${name} names a file of the host`).toEqual(["full"]);
    }
    const field = input && machineField(input);
    if (rule.scopes.includes("own") && field !== undefined) {
      expect(rule.machine, `${name} is about a machine`).toBe(field);
    }
    if (rule.machine !== undefined) expect(rule.machine).toBe(String(field));
  }
});

test("own sees its own machines, sessions, snapshots and events in lists, and no others", async () => {
  const own = clientFor(router, caller("own"));
  expect((await own.vm.list()).map(({ name }) => name)).toEqual(["of-own"]);
  expect((await bangerErrorOf(own.session.list({ vm: "of-other" }))).code).toBe("not_found");
  for (const scope of ["full", "read"] as const) {
    expect(await clientFor(router, caller(scope)).vm.list()).toHaveLength(3);
  }
  async function* source() {
    for (const name of machines) {
      yield { at: "", id: `id-${name}`, name, state: "stopped" } as const;
      yield { at: "", id: `id-${name}`, name, state: "removed" } as const;
    }
  }
  const seen = async (by: Caller) => {
    const names: string[] = [];
    for await (const { name, state } of seenEvents(domains, by, source())) {
      names.push(`${name} ${state}`);
    }
    return names;
  };
  expect(await seen(caller("own"))).toEqual(["of-own stopped", "of-own removed"]);
  expect(await seen(caller("read"))).toHaveLength(6);
});

test("own chooses nothing for its machines that leads to others or to the host's files", async () => {
  const own = clientFor(router, caller("own"));
  const refused = async (work: Promise<unknown>) => (await bangerErrorOf(work)).code;
  const port = { hostPort: 80, guestPort: 80, protocol: "tcp" } as const;
  const outside = [{ ...port, hostAddress: "0.0.0.0" }];
  for (const input of [
    { networks: ["backend"] },
    { ports: outside },
    { ports: [{ ...port, hostAddress: "192.0.2.1" }] },
    { image: "oci:/home/user/image" },
    { image: "docker-archive:/etc/passwd" },
    { image: "docker-daemon:debian:latest" },
    { image: "containers-storage:debian" },
  ]) {
    expect(await refused(own.vm.create(input)), JSON.stringify(input)).toBe("permission_denied");
  }
  expect(await refused(own.vm.create({ snapshot: "of-other" }))).toBe("not_found");
  expect(await refused(own.vm.restore({ name: "of-own", snapshot: "of-other" }))).toBe("not_found");
  expect(await refused(own.vm.publish({ name: "of-own", ports: outside }))).toBe(
    "permission_denied",
  );
  expect(await refused(own.vm.fork({ name: "of-own", ports: outside }))).toBe("permission_denied");
  expect(await refused(own.image.pull({ reference: "oci:/home/user/image" }))).toBe(
    "permission_denied",
  );
  expect(await refused(own.image.pull({ reference: "debian", name: "alpine" }))).toBe(
    "permission_denied",
  );
  // What goes past the check fails in the handler, which nothing is behind here.
  const local = [{ ...port, hostAddress: "127.0.0.1" }, port];
  for (const work of [
    own.vm.create({ image: "debian:bookworm", ports: local, labels: { a: "b" }, ttl_ms: 60_000 }),
    own.vm.create({ snapshot: "of-own" }),
    own.vm.publish({ name: "of-own", ports: local }),
    own.vm.fork({ name: "of-own", count: 2, pattern: "copy" }),
    own.vm.set({ name: "of-own", cpus: 1 }),
    own.image.pull({ reference: "registry.example.org/app:1" }),
  ]) {
    expect(await refused(work)).toBe("internal");
  }
});

test("read wakes nothing", async () => {
  const asleep = { ...makeVm("asleep"), state: "suspended" as const };
  const sleeping: Domains = { ...domains, vms: { list: () => [asleep], show: () => asleep } };
  const client = clientFor(
    makeRouter(unused({ vms: unused(sleeping.vms), calls: new CallCounts() })),
    caller("read"),
  );
  const name = "asleep";
  for (const work of [
    client.file.read({ name, path: "/etc/passwd" }),
    client.file.watch({ name, path: "/" }),
    client.inside.stats({ name }),
    client.vm.health({ name }),
  ]) {
    expect((await bangerErrorOf(work)).code).toBe("invalid_state");
  }
  expect((await client.vm.show({ name })).name).toBe("asleep");
  const open: ExecOpen = { kind: "read", vm: name, path: "/etc/passwd" };
  expect(() => authorizeExec(sleeping, caller("read"), open)).toThrow("suspended");
});

const target = { host: "localhost", port: 80 };
const STREAMS: [string, (vm: string) => ExecOpen, string[]][] = [
  ["exec", (vm) => ({ kind: "exec", vm, exec: { argv: ["true"] } }), ["own", "-"]],
  ["connect", (vm) => ({ kind: "connect", vm, target }), ["own", "-"]],
  ["extract", (vm) => ({ kind: "extract", vm, path: "/" }), ["own", "-"]],
  ["write", (vm) => ({ kind: "write", vm, path: "/x" }), ["own", "-"]],
  ["tree", (vm) => ({ kind: "tree", vm, path: "/x" }), ["own", "yes"]],
  ["read", (vm) => ({ kind: "read", vm, path: "/x" }), ["own", "yes"]],
  ["archive", (vm) => ({ kind: "archive", vm, path: "/x" }), ["own", "yes"]],
  ["session", (vm) => ({ kind: "session", vm, session: "s" }), ["own", "yes"]],
  ["input", (vm) => ({ kind: "session", vm, session: "s", stdin: true }), ["own", "-"]],
  ["run", () => ({ kind: "run", create: {}, exec: { argv: ["true"] } }), ["yes", "-"]],
];

test("every kind of exec stream is below", () => {
  const kinds = STREAMS.map(([, open]) => open("box").kind);
  expect(new Set(kinds)).toEqual(new Set(execOpen.options.map(({ shape }) => shape.kind.value)));
});

for (const [kind, open, [own = "", read = ""]] of STREAMS) {
  test(`an exec stream, ${kind}: own ${own}, read ${read}`, () => {
    const outcome = (scope: TokenScope, machine: string): Outcome => {
      try {
        authorizeExec(domains, caller(scope), open(machine));
        return "reached";
      } catch (error) {
        return (error as { code: string }).code === "not_found" ? "missing" : "denied";
      }
    };
    const all = (scope: TokenScope) => machines.map((name) => outcome(scope, name));
    const meaning: Record<string, Outcome[]> = {
      yes: ["reached", "reached", "reached"],
      own: ["reached", "missing", "missing"],
      "-": ["denied", "denied", "denied"],
    };
    expect(all("full")).toEqual(["reached", "reached", "reached"]);
    expect(all("own")).toEqual(meaning[own] ?? []);
    expect(all("read")).toEqual(meaning[read] ?? []);
  });
}

function walk(node: unknown, path: string[]): Procedure[] {
  if (!isContractProcedure(node)) {
    return Object.entries(Object(node)).flatMap(([key, child]) => walk(child, [...path, key]));
  }
  const { route, inputSchema } = node["~orpc"];
  const input = inputSchema instanceof z.ZodObject ? inputSchema : undefined;
  expect(input !== undefined || inputSchema === undefined, path.join(".")).toBe(true);
  return [{ path, method: route.method ?? "", route: route.path ?? "", input }];
}

/** The schema without what makes it optional. */
function bare(field: unknown): unknown {
  return field instanceof z.ZodOptional ? bare(field.unwrap()) : field;
}

function machineField(input: z.ZodObject): string | undefined {
  return Object.entries(input.shape).find(([, field]) => bare(field) === vmRef)?.[0];
}
