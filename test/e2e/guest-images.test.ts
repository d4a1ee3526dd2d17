/** Images that have next to nothing: one static program and no shell, and a musl world around busybox. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FileInfo } from "#api/file.ts";
import { runOk } from "#base/run.ts";
import { busyboxLayout, makeTar } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { testNeeding } from "#test/needs.ts";
import { makeLayout } from "#test/oci-layout.ts";
import { giveKernel } from "#test/pulled-kernel.ts";

const imageTest = testNeeding("musl-gcc", "ssh", "scp", "sftp");
const PROGRAM = `
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
	char line[100];
	for (int i = 1; i < count; i++) printf("%s%s", i > 1 ? " " : "", words[i]);
	puts("");
	while (count > 1 && strcmp(words[1], "copy") == 0 && fgets(line, sizeof line, stdin)) fputs(line, stdout);
	return count > 1 && strcmp(words[1], "fail") == 0 ? 7 : 0;
}
`;

let banger: Installation;
let config: string;

beforeAll(async () => {
  banger = install();
  config = join(banger.home, "ssh.cfg");
  const [source, fixed, linked] = ["words.c", "words-static", "words"].map((name) =>
    join(banger.home, name),
  ) as [string, string, string];
  writeFileSync(source, PROGRAM);
  await runOk(["musl-gcc", "-O1", "-static", "-s", source, "-o", fixed]);
  await runOk(["musl-gcc", "-O1", "-s", source, "-o", linked]);
  const tar = join(banger.home, "one.tar");
  writeFileSync(tar, await makeTar([{ name: "words", mode: 0o755, body: readFileSync(fixed) }]));
  await makeLayout(join(banger.home, "bare"), [tar], { config: { Entrypoint: ["/words"] } });
  await busyboxLayout(join(banger.home, "musl"), {
    more: [
      [
        { name: "lib", type: "directory", mode: 0o755 },
        {
          name: "lib/ld-musl-x86_64.so.1",
          mode: 0o755,
          body: readFileSync("/usr/lib/x86_64-linux-musl/libc.so"),
        },
        { name: "bin/words", mode: 0o755, body: readFileSync(linked) },
        { name: "etc/alpine-release", body: "3.20.0\n" },
      ],
    ],
  });
  await giveKernel(banger);
  for (const name of ["bare", "musl"]) {
    await banger.ok("image", "pull", `oci:${banger.home}/${name}`, "--name", name);
    const flags = [
      "--image",
      name,
      "--name",
      name,
      "--mode",
      "direct",
      "--no-command",
      "--net",
      "none",
    ];
    await banger.ok("vm", "create", ...flags);
  }
  await banger.ok("ssh-config", "--install", "--file", config);
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

async function client(...argv: [string, ...string[]]): Promise<{ status: number; output: string }> {
  const [program, ...rest] = argv;
  const child = Bun.spawn([program, "-F", config, "-o", "BatchMode=yes", ...rest], {
    env: banger.env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  // Neither a prompt nor a warning may ever appear.
  expect(stderr).not.toMatch(/warning|authenticity|password/i);
  return { status: await child.exited, output: stdout };
}

imageTest("a machine of one static program and nothing else runs it, and has files", async () => {
  expect(await banger.ok("vm", "exec", "bare", "--", "/words", "a", "b")).toBe("a b\n");
  expect((await banger.call(["vm", "exec", "bare", "--", "/words", "fail"])).status).toBe(7);
  const copy = ["vm", "exec", "-i", "-u", "4711", "bare", "--", "/words", "copy"];
  expect((await banger.call(copy, { stdin: "in\n" })).stdout).toBe("copy\nin\n");
  writeFileSync(join(banger.home, "note"), "note");
  await banger.ok("vm", "file", "mkdir", "bare:/deep");
  await banger.ok("vm", "cp", "note", "bare:/deep/note");
  expect(await banger.ok("vm", "cat", "bare:/deep/note")).toBe("note");
  expect(await banger.json<FileInfo>("vm", "stat", "bare:/words")).toMatchObject({ mode: 0o755 });
  await banger.ok("vm", "session", "start", "bare", "said", "--", "/words", "said");
  await banger.ok("vm", "session", "wait", "bare", "said");
  expect(await banger.ok("vm", "session", "logs", "bare", "said")).toBe("said\n");
  expect((await banger.call(["vm", "exec", "bare", "--", "sh"])).status).toBe(127);
});

imageTest("ssh, scp and sftp reach it by name, with no shell and no network", async () => {
  expect(await client("ssh", "bare.vm", "/words one two")).toEqual({
    status: 0,
    output: "one two\n",
  });
  expect((await client("ssh", "bare.vm", "/words fail")).status).toBe(7);
  const [there, back] = [join(banger.home, "there"), join(banger.home, "back")];
  writeFileSync(there, Buffer.alloc(300_000, "banger"));
  expect((await client("scp", "-q", there, "bare.vm:/there")).status).toBe(0);
  expect((await client("scp", "-q", "bare.vm:/there", back)).status).toBe(0);
  expect(readFileSync(back).equals(readFileSync(there))).toBe(true);
  const batch = join(banger.home, "batch");
  mkdirSync(join(banger.home, "got"));
  writeFileSync(batch, `rename /there /else\nget /else ${banger.home}/got/else\n`);
  expect((await client("sftp", "-q", "-b", batch, "bare.vm")).status).toBe(0);
  expect(readFileSync(join(banger.home, "got/else")).equals(readFileSync(there))).toBe(true);
});

imageTest("a machine with musl for its libc is one like others", async () => {
  expect(await banger.ok("vm", "exec", "musl", "--", "words", "with", "musl")).toBe("with musl\n");
  expect(await client("ssh", "musl.vm", "words $(cat /etc/alpine-release) $((1 + 2))")).toEqual({
    status: 0,
    output: "3.20.0 3\n",
  });
  await banger.ok("vm", "cp", "musl:/bin/.", "bin");
  expect(await banger.ok("vm", "top", "--no-stream", "musl")).toMatch(/^PID .*\n/);
});

testNeeding(
  "musl-gcc",
  "ssh",
  "rsync",
  "git",
  "ldd",
)("rsync and git find their other half in it, by its name", async () => {
  const [root, tree, cloned] = ["programs", "tree", "cloned"].map((name) =>
    join(banger.home, name),
  ) as [string, string, string];
  for (const folder of [root, tree]) mkdirSync(folder);
  const programs = ["/usr/bin/rsync", "/usr/bin/git"];
  const libraries = (await runOk(["ldd", ...programs])).match(/\/\S+\.so\S*/g) ?? [];
  await runOk(["cp", "-L", "--parents", ...programs, ...new Set(libraries), root]);
  symlinkSync("git", join(root, "usr/bin/git-upload-pack"));
  await banger.ok("vm", "cp", "programs/.", "musl:/");

  const remote = `ssh -F ${config} -o BatchMode=yes`;
  writeFileSync(join(tree, "file"), "as it was written");
  symlinkSync("file", join(tree, "link"));
  const env = { ...banger.env, GIT_SSH_COMMAND: remote };
  const rsync = (...args: string[]) => runOk(["rsync", "-e", remote, ...args], { env });
  await rsync("-a", `${tree}/`, "musl.vm:/tmp/tree");
  expect(await banger.ok("vm", "exec", "musl", "--", "readlink", "/tmp/tree/link")).toBe("file\n");
  expect(await rsync("-rlptcni", "--delete", "musl.vm:/tmp/tree/", tree)).toBe("");

  const git = (...args: string[]) => runOk(["git", "-C", tree, ...args], { env });
  await git("init", "-q");
  await git("add", ".");
  const author = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
  await git(...author, "commit", "-q", "-m", "one");
  await banger.ok("vm", "exec", "musl", "--", "mkdir", "-p", "/srv");
  await banger.ok("vm", "cp", "-u", "root", "tree/.git", "musl:/srv/repo.git");
  await git("clone", "-q", "musl.vm:/srv/repo.git", cloned);
  expect(readFileSync(join(cloned, "link"), "utf8")).toBe("as it was written");
});
