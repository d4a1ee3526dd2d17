import { expect, test } from "bun:test";
import { vmCreate } from "#api/vm.ts";
import { vmCreateRequest } from "#cli/args/create.ts";
import { parseCommand } from "#cli/parse.ts";
import { parseWorkspace } from "#cli/workspace/import.ts";
import { commandOf } from "./command.ts";
import { EMPTY, type Form, planOf } from "./request.ts";

const ALL: Form = {
  ...EMPTY,
  image: "ghcr.io/example/tool:1.2",
  name: "tool",
  kernel: "debian-6.12",
  mode: "direct",
  cpus: "2",
  memory: "1.5G",
  disk: "10",
  network: "nat",
  ports: "8080:80, 127.0.0.1:5353:53/udp 443",
  networks: ["lab", "db"],
  volumes: [
    { name: "cache", path: "/var/cache dir", size: "1.3G", readOnly: false },
    { name: "pgdata", path: "/srv/it's", size: "", readOnly: true },
  ],
  env: 'DEBUG=1\nTEXT=it\'s $HOME `two` "words" \\',
  labels: "team=web",
  command: `sh -c "echo \\"hi\\"; sleep 1" ''`,
  restart: "always",
  secrets: [{ name: "API_KEY", hosts: "API.example.com *.example.org:8443" }],
  profiles: ["npm", "github"],
  allow: "*.debian.org\n192.0.2.0/24:443",
  deny: "ads.debian.org [2001:db8::1]:22",
  ask: true,
};

test("the command line has all of it, quoted", () => {
  const plan = planOf(ALL, { volumes: ["pgdata"] });
  expect(plan.problems).toEqual({});
  expect(commandOf(plan)).toBe(
    "banger volume create cache --size 1395864371B && " +
      "banger vm create --image ghcr.io/example/tool:1.2 --name tool --kernel-ref debian-6.12 --mode direct " +
      "--cpus 2 --memory 1536M --disk 10G --net nat -p 8080:80 -p 127.0.0.1:5353:53/udp -p 443 " +
      "--network lab --network db -v 'cache:/var/cache dir' -v 'pgdata:/srv/it'\\''s:ro' " +
      `-e DEBUG=1 -e 'TEXT=it'\\''s $HOME \`two\` "words" \\' --label team=web --restart always ` +
      "--secret 'API_KEY@api.example.com,*.example.org:8443' " +
      "--deny ads.debian.org --deny '[2001:db8::1]:22' --allow '*.debian.org' --allow 192.0.2.0/24:443 " +
      `--policy npm,github --ask -- sh -c 'echo "hi"; sleep 1' ''`,
  );
});

const CASES: Record<string, Partial<Form>> = {
  "an image": { image: "nginx" },
  everything: ALL,
  "a size of no whole unit": { disk: "1.0001G", memory: "1.0005G" },
  "ports of every form": { ports: "80 0:81 [::1]:8080:80 0.0.0.0:0:82/udp 5353:53/udp 1:2/tcp" },
  "values that look like flags": {
    env: "A=--net\nB=-- x",
    labels: "a=-v",
    command: "-- --help -p",
  },
  "values with the shell's characters": {
    env: "A=a;b&c|d>e<f(g)h*i?j[k]l{m}n~o#p!q\nB='\nC=\\\nD=ü €\nE=",
    command: `printf '%s\\n' "a'b" "$(id)" '' "
two lines"`,
  },
  "an empty command": { command: "''" },
  "new volumes": {
    volumes: [
      { name: "a", path: "/a", size: "100", readOnly: false },
      { name: "b", path: "/b", size: "512M", readOnly: true },
      { name: "a", path: "/c", size: "9G", readOnly: true },
    ],
  },
  "a workspace": { workspace: "/home/me/src/app" },
  "a workspace at a path": { workspace: "/home/me/my app", workspacePath: "/srv/app" },
  "a workspace whose path has a colon": { workspace: "/home/me/a:/b" },
  "a workspace whose path has an apostrophe": {
    workspace: "/home/it's $HOME",
    workspacePath: "/w",
  },
  "deny all": { denyAll: true },
  "deny all but some": { denyAll: true, allow: "a.example" },
  "deny some": { deny: "a.example b.example" },
  "deny some, and all else": { deny: "a.example", denyAll: true },
  ask: { ask: true },
  "ask, after rules": { ask: true, deny: "a.example", allow: "b.example:443", profiles: ["npm"] },
  "profiles in the text": { allow: "@npm a.example @github", profiles: ["debian"] },
  "everything allowed": { allow: "0.0.0.0/0 ::/0" },
  "everything allowed but some": { allow: "0.0.0.0/0 ::/0", deny: "a.example" },
};

/** Words of each command of a line, as a shell has them. */
function wordsOf(line: string): string[][] {
  const script = `banger() { printf '%s\\0' "$@"; printf '\\1\\0'; }; ${line}`;
  const { stdout, stderr, exitCode } = Bun.spawnSync(["sh", "-c", script], { env: {} });
  expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  return stdout
    .toString()
    .split("\x01\0")
    .slice(0, -1)
    .map((each) => each.split("\0").slice(0, -1));
}

/** What the command line asks the daemon for. */
function readLine(line: string) {
  const commands = wordsOf(line).map((words) => parseCommand(words).invocation);
  const last = commands.pop();
  expect(last?.path).toEqual(["vm", "create"]);
  const input = last as unknown as Parameters<typeof vmCreateRequest>[0];
  const { workspace } = input.flags;
  const volumes = commands.map((each) => {
    expect(each?.path).toEqual(["volume", "create"]);
    return { name: each?.args["name"], size_bytes: each?.flags["size"] };
  });
  return {
    request: vmCreateRequest(input),
    volumes,
    workspace: workspace === undefined ? undefined : parseWorkspace(workspace),
  };
}

for (const [name, part] of Object.entries(CASES)) {
  test(`form and command line mean the same: ${name}`, () => {
    const plan = planOf({ ...EMPTY, image: "busybox", ...part }, { volumes: ["pgdata"] });
    expect(plan.problems).toEqual({});
    // The contract accepts it, and changes nothing.
    expect(vmCreate.parse(plan.request)).toEqual(plan.request);
    const { request, volumes, workspace } = readLine(commandOf(plan));
    expect(request).toEqual(plan.request);
    expect(volumes).toEqual([...plan.volumes]);
    expect(workspace).toEqual(
      plan.workspace && {
        source: plan.workspace.source,
        path: plan.workspace.path ?? "/workspace",
      },
    );
  });
}
