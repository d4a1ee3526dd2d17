/** What banger-jail gives a program, read by that program itself and off /proc. */
import { expect } from "bun:test";
import { mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testNeeding } from "#test/needs.ts";
import { type JailPlan, jailArguments } from "#vmm/jail/command.ts";
import { jailProgram } from "#vmm/jail/program.ts";

const FD = 3;
const NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
const USER = { uid: 0x7000_0001, gid: 0x7100_0000 };

interface Lab extends Disposable {
  folder: string;
  run(
    script: string,
    plan?: Partial<JailPlan>,
    before?: readonly string[],
  ): Promise<{ status: number; stdout: string; stderr: string }>;
}

function openLab(): Lab {
  const folder = mkdtempSync(join(tmpdir(), "banger-jail-"));
  Bun.spawnSync(["chmod", "755", folder]);
  for (const name of ["base", "shared"]) {
    mkdirSync(join(folder, name));
    Bun.spawnSync(["chmod", "777", join(folder, name)]);
  }
  for (const name of ["given", "secret"]) writeFileSync(join(folder, name), name, { mode: 0o644 });
  return {
    folder,
    async run(script, plan = {}, before = []) {
      const argv = jailArguments({
        kind: "namespaces",
        program: FD,
        base: join(folder, "base"),
        readOnly: [join(folder, "given")],
        writable: [join(folder, "shared")],
        devices: [],
        user: undefined,
        keepsFiles: false,
        hasFolders: false,
        network: false,
        endsWithUs: false,
        ...plan,
      });
      const child = Bun.spawn([...before, ...argv, "/bin/sh", "-c", script], {
        stdio: ["ignore", "pipe", "pipe", jailProgram()],
        cwd: "/",
      });
      const [stdout, stderr, status] = await Promise.all([
        new Response(child.stdout as ReadableStream).text(),
        new Response(child.stderr as ReadableStream).text(),
        child.exited,
      ]);
      return { status, stdout, stderr };
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

const STATUS = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status";
const NO_RIGHTS = ["Inh", "Prm", "Eff", "Bnd", "Amb"]
  .map((set) => `Cap${set}:\t0000000000000000\n`)
  .join("");

const hostTest = testNeeding("root", "setpriv");

hostTest("as root it is another user without rights, and sees what it was given", async () => {
  using lab = openLab();
  const { folder } = lab;
  const plan = { user: USER, hasFolders: true };
  const { stdout: status } = await lab.run(STATUS, plan);
  const [uid, gid] = [USER.uid, USER.gid].map((id) => `${id}\t${id}\t${id}\t${id}`);
  expect(status).toBe(`Uid:\t${uid}\nGid:\t${gid}\nGroups:\t \n${NO_RIGHTS}NoNewPrivs:\t1\n`);
  const script = `cat ${folder}/given; echo; ls ${folder}; ls -A /`;
  const { stdout } = await lab.run(script, plan);
  expect(stdout).toStartWith("given\ngiven\nshared\n");
  for (const name of ["root", "home", "var", "run", "secret"])
    expect(stdout.split("\n")).not.toContain(name);
  const { stdout: tried } = await lab.run(
    `for file in ${folder}/given /usr/x /x; do (echo x >$file) 2>/dev/null && echo "$file"; done
     echo x >${folder}/shared/x && echo x >/scratch/x && echo written`,
    plan,
  );
  expect(tried).toBe("written\n");
});

hostTest("the host's network, its other processes and its devices are not there", async () => {
  using lab = openLab();
  const script = "ls /proc | grep -c '^[0-9]'; ls /dev; readlink /proc/self/ns/net";
  const { stdout } = await lab.run(script, { user: USER, hasFolders: true });
  const [processes, ...rest] = stdout.trim().split("\n");
  const network = rest.pop();
  expect(Number(processes)).toBeLessThan(5);
  expect(rest).toEqual(["null", "random", "urandom", "zero"]);
  expect(network).toStartWith("net:");
  expect(network).not.toBe(readlinkSync("/proc/self/ns/net"));
});

hostTest("an ordinary user's program is that user in a root of its own", async () => {
  using lab = openLab();
  const { folder } = lab;
  const script = `${STATUS}; cat ${folder}/given; ls ${folder}; ls /root`;
  const { stdout, stderr } = await lab.run(script, { hasFolders: true }, NOBODY);
  expect(stdout).toContain("Uid:\t65534\t65534\t65534\t65534\n");
  expect(stdout).toContain(`${NO_RIGHTS}NoNewPrivs:\t1\ngiven`);
  expect(stdout).toEndWith("given\nshared\n");
  expect(stderr).toContain("/root");
});

hostTest("Landlock refuses what was not given, and gives the rest", async () => {
  using lab = openLab();
  const { folder } = lab;
  const script = `cat ${folder}/given; echo; echo x >${folder}/shared/x && cat ${folder}/shared/x
    cat ${folder}/secret; ls ${folder}; echo x >${folder}/given; cat /etc/passwd; echo end`;
  const { stdout, stderr } = await lab.run(script, { kind: "landlock" }, NOBODY);
  expect(stdout).toBe("given\nx\nend\n");
  expect(stderr.match(/Permission denied/g)).toHaveLength(4);
});

hostTest("nothing starts if something that it needs is missing", async () => {
  using lab = openLab();
  for (const kind of ["namespaces", "landlock"] as const) {
    const { status, stdout, stderr } = await lab.run("echo started", {
      kind,
      readOnly: ["/nonexistent/file"],
    });
    expect([status, stdout]).toEqual([125, ""]);
    expect(stderr).toContain("/nonexistent/file: No such file or directory");
  }
});
