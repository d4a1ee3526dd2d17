import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { parse } from "smol-toml";
import { BangerError } from "#base/error.ts";
import { installMcp } from "./install.ts";
import { parseJsonc, setJsonc } from "./jsonc.ts";
import { MCP_CLIENTS, type McpClient } from "./names.ts";
import { setToml } from "./toml.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-mcp-install-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const server = { command: "/usr/local/bin/banger", args: ["mcp", "--owner", "x"] };

function install(client: McpClient, name: string, old?: string): string {
  const file = join(folder, name);
  if (old !== undefined) writeFileSync(file, old);
  installMcp({ client, ...server, file, isDryRun: false });
  return readFileSync(file, "utf8");
}

test("each client gets an entry in its own form, in a file that did not exist", () => {
  const written = Object.fromEntries(
    MCP_CLIENTS.map((client) => [client, install(client, `${client}/new`)]),
  );
  const { command, args } = server;
  const json = (client: string) => JSON.parse(written[client] ?? "");
  expect(json("claude-code")).toEqual({
    mcpServers: { banger: { type: "stdio", command, args, env: {} } },
  });
  expect(parse(written["codex"] ?? "")).toEqual({ mcp_servers: { banger: { command, args } } });
  expect(json("cursor")).toEqual({ mcpServers: { banger: { command, args } } });
  expect(json("vscode")).toEqual({ servers: { banger: { type: "stdio", command, args } } });
  expect(json("opencode")).toEqual({
    mcp: { banger: { type: "local", command: [command, ...args], enabled: true } },
  });
});

test("what is in a JSON file stays, comments and all", () => {
  const old = `// mine
{
\t"theme": "dark", /* so */
\t"mcpServers": {
\t\t// another
\t\t"other": { "command": "x", "args": [1, 2,], },
\t},
}
`;
  const text = install("cursor", "commented.json", old);
  expect(parseJsonc(text)).toEqual({
    theme: "dark",
    mcpServers: { banger: server, other: { command: "x", args: [1, 2] } },
  });
  for (const kept of ["// mine", "/* so */", "// another", "\t\t// another"]) {
    expect(text).toContain(kept);
  }
  // The second time there is nothing to do, and another command replaces its own entry alone.
  expect(install("cursor", "commented.json")).toBe(text);
  const file = join(folder, "commented.json");
  installMcp({ client: "cursor", command: "b", args: [], file, isDryRun: false });
  expect(parseJsonc(readFileSync(file, "utf8"))).toEqual({
    theme: "dark",
    mcpServers: { banger: { command: "b", args: [] }, other: { command: "x", args: [1, 2] } },
  });
});

test("what is in a TOML file stays, comments and all", () => {
  const old = `# mine
model = "x" # so

[mcp_servers.banger]
command = "old"
[mcp_servers.banger.env]
A = "1"

# of the next
[mcp_servers.other]
command = "y"
[[list]]
a = 1
`;
  const text = install("codex", "config.toml", old);
  expect(parse(text)).toEqual({
    model: "x",
    mcp_servers: { banger: server, other: { command: "y" } },
    list: [{ a: 1 }],
  });
  for (const kept of ["# mine", '"x" # so', "# of the next\n[mcp_servers.other]"]) {
    expect(text).toContain(kept);
  }
  expect(install("codex", "config.toml")).toBe(text);
  expect(parse(install("codex", "plain.toml", 'a = "b"'))).toEqual({
    a: "b",
    mcp_servers: { banger: server },
  });
});

test("a file that cannot be read, or kept as it is, is left alone", () => {
  const cases: [McpClient, string][] = [
    ["cursor", "{ not json"],
    ["cursor", "[]"],
    ["cursor", '{ "mcpServers": [] }'],
    ["cursor", '"text"'],
    ["codex", "a = = b"],
    ["codex", 'mcp_servers = { other = { command = "x" } }'],
    ["codex", 'mcp_servers.banger.command = "x"'],
    ["codex", 'text = """\n[mcp_servers.banger]\n"""'],
  ];
  for (const [client, old] of cases) {
    const file = join(folder, "bad");
    writeFileSync(file, old);
    const change = () => installMcp({ client, ...server, file, isDryRun: false });
    expect(change, old).toThrow(BangerError);
    expect(readFileSync(file, "utf8")).toBe(old);
  }
});

test("what is no text file is refused, and not waited for", () => {
  const file = join(folder, "odd");
  const install = () => installMcp({ client: "cursor", ...server, file, isDryRun: false });
  const cases: [() => void, string][] = [
    [() => Bun.spawnSync(["mkfifo", file]), "not a regular file"],
    [() => mkdirSync(file), "not a regular file"],
    [() => symlinkSync(file, file), "too many levels of symbolic links"],
    [
      () => writeFileSync(file, new Uint8Array([...Buffer.from('{"a":"'), 0xff, 0x22, 0x7d])),
      "UTF-8",
    ],
  ];
  for (const [make, reason] of cases) {
    make();
    expect(install).toThrow(reason);
    rmSync(file, { recursive: true });
  }
});

test("lines end as they did, and a link to a file that is missing stays one", () => {
  const text = install("cursor", "crlf.json", '\uFEFF{\r\n  // mine\r\n  "a": 1\r\n}\r\n');
  expect(text).toContain('"banger": {\r\n');
  expect(text.replaceAll("\r\n", "")).not.toContain("\n");
  expect(text).toStartWith("\uFEFF{\r\n");
  const link = join(folder, "early.json");
  symlinkSync("later/target.json", link);
  installMcp({ client: "cursor", ...server, file: link, isDryRun: false });
  const written = readFileSync(join(folder, "later/target.json"), "utf8");
  expect(JSON.parse(written)).toEqual({ mcpServers: { banger: server } });
});

test("a link stays a link and a mode a mode; a dry run writes nothing", () => {
  const target = join(folder, "target.json");
  const link = join(folder, "link.json");
  writeFileSync(target, "{}\n");
  chmodSync(target, 0o640);
  symlinkSync(target, link);
  const done = installMcp({ client: "cursor", ...server, file: link, isDryRun: true });
  expect([done.changed, readFileSync(target, "utf8")]).toEqual([true, "{}\n"]);
  expect(JSON.parse(done.entry)).toEqual({ mcpServers: { banger: server } });
  installMcp({ client: "cursor", ...server, file: link, isDryRun: false });
  expect(JSON.parse(readFileSync(target, "utf8"))).toEqual({ mcpServers: { banger: server } });
  expect(statSync(target).mode & 0o777).toBe(0o640);
  mkdirSync(join(folder, "x"));
  const missing = join(folder, "x/y/z.json");
  installMcp({ client: "cursor", ...server, file: missing, isDryRun: true });
  expect(existsSync(join(folder, "x/y"))).toBe(false);
});

test("setting a value of any JSON object changes that value alone", () => {
  const objects = fc.dictionary(
    fc.oneof(fc.constantFrom("a", "b"), fc.string()),
    fc.jsonValue({ maxDepth: 3 }),
  );
  fc.assert(
    fc.property(objects, fc.jsonValue(), fc.constantFrom(undefined, 2, "\t"), (old, value, pad) => {
      fc.pre(!Object.hasOwn(old, "__proto__") && !isScalar(old["a"]));
      const text = setJsonc(JSON.stringify(old, null, pad), ["a", "b"], value);
      const wanted = { ...old, a: { ...Object(old["a"] ?? {}), b: value } };
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(wanted)));
    }),
  );
});

function isScalar(value: unknown): boolean {
  return (
    value !== undefined && (typeof value !== "object" || value === null || Array.isArray(value))
  );
}

test("setToml() appends to whatever is there", () => {
  expect(setToml("", ["a", "b"], { c: 1 })).toBe("[a.b]\nc = 1\n");
  expect(setToml("x = 1\n", ["a", "b"], { c: 1 })).toBe("x = 1\n\n[a.b]\nc = 1\n");
});
