import { expect, test } from "bun:test";
import { EMPTY, parsePort, planOf, splitCommand } from "./request.ts";

const problemsOf = (part: Partial<typeof EMPTY>) => planOf({ ...EMPTY, ...part }).problems;

test("an empty form asks for nothing but the image", () => {
  expect(planOf({ ...EMPTY, image: " nginx " })).toEqual({
    request: { image: "nginx" },
    volumes: [],
    workspace: undefined,
    problems: {},
  });
});

test("what cannot be meant is a problem of its field", () => {
  const { request, problems } = planOf({
    ...EMPTY,
    cpus: "1.5",
    memory: "much",
    disk: "-1",
    ports: "80:99999",
    env: "=x",
    labels: "team",
    command: "echo 'open",
  });
  expect(Object.keys(problems).sort()).toEqual(
    ["command", "cpus", "disk", "env", "labels", "memory", "ports"].sort(),
  );
  expect(request).toEqual({});
});

test("volumes that exist keep their size; new ones with a size are created first", () => {
  const row = { path: "/data", size: "5G", readOnly: false };
  const volumes = [
    { ...row, name: "old" },
    { ...row, name: "new", path: "/cache", readOnly: true },
    { ...row, name: "", path: " " },
  ];
  const plan = planOf({ ...EMPTY, volumes }, { volumes: ["old"] });
  expect(plan.problems).toEqual({});
  expect(plan.volumes).toEqual([{ name: "new", size_bytes: 5 * 1024 ** 3 }]);
  expect(plan.request.volumes).toEqual([
    { volume: "old", path: "/data" },
    { volume: "new", path: "/cache", readOnly: true },
  ]);
});

test("a mount that the command line cannot have is a problem", () => {
  const row = { name: "data", path: "/data", size: "", readOnly: false };
  for (const part of [
    { path: "" },
    { path: "data" },
    { path: "/" },
    { path: "//" },
    { path: "/a:ro" },
    { name: "" },
    { name: "-x" },
    { name: "a:b" },
    { size: "large" },
  ]) {
    expect(
      problemsOf({ volumes: [{ ...row, ...part }] }).volumes,
      JSON.stringify(part),
    ).toBeString();
  }
  expect(problemsOf({ volumes: [row, { ...row, name: "b" }] }).volumes).toBe(
    "two volumes at /data",
  );
});

test("a workspace is an absolute path, and leaves no place for a command", () => {
  expect(problemsOf({ workspace: "src" }).workspace).toBeString();
  for (const workspacePath of ["work", "/", "/a/../b", "/a:/b"]) {
    expect(problemsOf({ workspace: "/src", workspacePath }).workspacePath).toBeString();
  }
  expect(problemsOf({ workspace: "/src", command: "make" }).command).toBe("not with a workspace");
  expect(planOf({ ...EMPTY, workspace: "/src" })).toMatchObject({
    request: { command: [] },
    workspace: { source: "/src" },
    problems: {},
  });
});

test("secrets are for names of hosts, each once", () => {
  for (const [name, hosts] of [
    ["KEY", ""],
    ["", "api.example.com"],
    ["KEY", "192.0.2.1"],
    ["KEY", "a@b"],
    ["KEY", "in=query"],
    ["KEY", "https://api.example.com"],
  ] as const) {
    expect(problemsOf({ secrets: [{ name, hosts }] }).secrets, `${name} ${hosts}`).toBeString();
  }
  const secret = { name: "KEY", hosts: "API.example.com, *.example.org:8443" };
  expect(planOf({ ...EMPTY, secrets: [secret] }).request.secrets).toEqual([
    { name: "KEY", hosts: ["api.example.com", "*.example.org:8443"] },
  ]);
  expect(problemsOf({ secrets: [secret, secret] }).secrets).toBe("KEY is given twice");
});

test("what needs rules on the host is a problem of a network without them", () => {
  const ofNetwork = (part: Partial<typeof EMPTY>) => problemsOf(part).network;
  expect(ofNetwork({ network: "user", ask: true })).toBe("must be nat or host for a policy");
  expect(ofNetwork({ network: "none", networks: ["lab"], ask: true })).toBe(
    "must be nat or host for a policy, named networks",
  );
  expect(ofNetwork({ network: "user", secrets: [{ name: "K", hosts: "a.example" }] })).toBe(
    "must be nat or host for secrets",
  );
  expect(ofNetwork({ network: "user" })).toBeUndefined();
  expect(ofNetwork({ network: "nat", denyAll: true, ask: true })).toBeUndefined();
});

test("denied destinations are never read as allowed ones", () => {
  expect(problemsOf({ allow: "deny example.com" }).allow).toBeString();
  expect(problemsOf({ deny: "deny example.com" }).deny).toBeString();
  expect(problemsOf({ deny: "@npm" }).deny).toBeString();
});

test("ports are read as the command line has them", () => {
  expect(parsePort("[::1]:8080:80")).toEqual({
    hostAddress: "::1",
    hostPort: 8080,
    guestPort: 80,
    protocol: "tcp",
  });
  expect(parsePort("80")).toEqual({ hostPort: 0, guestPort: 80, protocol: "tcp" });
  for (const text of ["", "0", "x", "1:2:3:4", "80/sctp", "70000:80"]) {
    expect(parsePort(text), text).toBeUndefined();
  }
});

test("commands are split as a shell splits them", () => {
  expect(splitCommand(`a  'b c' "d \\$e" f\\ g ""`)).toEqual(["a", "b c", "d $e", "f g", ""]);
  expect(splitCommand("   ")).toEqual([]);
});

test("a size in bytes is no size in GiB, and less than a MiB is no memory", () => {
  expect(planOf({ ...EMPTY, disk: "10B" }).request.disk_bytes).toBe(10);
  const { request, problems } = planOf({ ...EMPTY, memory: "10B" });
  expect(request.memory_mib).toBeUndefined();
  expect(problems.memory).toContain("512M");
});
