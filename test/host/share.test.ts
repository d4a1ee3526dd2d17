/**
 * Directories shared by FUSE with real tools: the program that runs in machines, in a mount namespace of this host, and
 * the process that serves them.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { identify } from "#base/process-identity.ts";
import { runOk } from "#base/run.ts";
import { testNeeding } from "#test/needs.ts";
import { until } from "#test/until.ts";
import { joinPath } from "#vm/network/socket-relay.ts";
import { serverCommand } from "#vm/shares/server.ts";

const ROOT = join(import.meta.dir, "../..");
const LIMIT_MS = 300_000;
setDefaultTimeout(LIMIT_MS);

const folder = mkdtempSync(join(tmpdir(), "banger-fuse-"));
const at = (path: string) => join(folder, path);
const sharing = testNeeding("root", "/dev/fuse", "git", "setpriv");

let namespace: Bun.Subprocess;
let server: Bun.Subprocess;

/** In the namespace in which the directories are mounted. */
async function inside(script: string): Promise<string> {
  const enter = ["nsenter", `--mount=/proc/${namespace.pid}/ns/mnt`, "--wd=/"];
  const options = { timeout_ms: LIMIT_MS, env: { GIT_CONFIG_GLOBAL: "/dev/null" } };
  return await runOk([...enter, "sh", "-euc", script, "sh", folder], options);
}

function serve(): void {
  const [words, main] = [serverCommand(at("config")), join(ROOT, "src/main.ts")];
  const [rights, program] = [words.slice(0, words.indexOf("--") + 1), process.execPath];
  server = Bun.spawn([...rights, program, main, "share-server", at("config")], {
    stdio: ["ignore", "inherit", "inherit"],
  });
}

/** As the daemon connects the two, by the machine's stream; gives how to part them. */
async function connect(index: number): Promise<() => void> {
  await until(() => existsSync(at(`${index}.sock`)));
  const machine = createConnection({ path: at(`guest-${index}.sock`), allowHalfOpen: true });
  machine.on("error", () => {});
  await new Promise<void>((resolve) => machine.once("connect", () => resolve()));
  joinPath(machine, at(`${index}.sock`));
  return () => machine.destroy();
}

let part: () => void;

beforeAll(async () => {
  if (process.getuid?.() !== 0 || !existsSync("/dev/fuse")) return;
  for (const path of ["rw", "ro", "mnt-rw", "mnt-ro", "outside"]) mkdirSync(at(path));
  namespace = Bun.spawn(["unshare", "--mount", "--propagation", "private", "sleep", "infinity"]);
  const own = identify(process.pid);
  const shares = ["rw", "ro"].map((name, index) => ({
    ...{ directory: at(name), isReadOnly: name === "ro", socket: at(`${index}.sock`) },
    failure: at(`${index}.failure`),
  }));
  writeFileSync(at("config"), JSON.stringify({ shares, machine: own }));
  serve();
  const program = join(ROOT, "build/bin/banger-share");
  await until(async () => (await inside("readlink /proc/self/ns/mnt")) !== (await ownNamespace()));
  for (const [index, name] of ["rw", "ro"].entries()) {
    await inside(`${program} ${at(`guest-${index}.sock`)} ${at(`mnt-${name}`)} ${name}`);
  }
  part = await connect(0);
  await connect(1);
});

async function ownNamespace(): Promise<string> {
  return await runOk(["readlink", "/proc/self/ns/mnt"], { timeout_ms: LIMIT_MS });
}

afterAll(async () => {
  if (namespace) await inside('umount -l "$1/mnt-rw" "$1/mnt-ro"');
  server?.kill("SIGKILL");
  namespace?.kill("SIGKILL");
  await Promise.all([server?.exited, namespace?.exited]);
  rmSync(folder, { recursive: true, force: true });
});

sharing("of root's rights the server has those over files alone", () => {
  const status = readFileSync(`/proc/${server.pid}/status`, "utf8");
  // CHOWN, DAC_OVERRIDE, FOWNER and FSETID.
  expect(status).toMatch(/^CapEff:\t0*1b$/m);
  expect(status).toMatch(/^CapBnd:\t0*1b$/m);
  expect(status).toMatch(/^NoNewPrivs:\t1$/m);
});

sharing("a tree is copied with everything that cp -a keeps, and back", async () => {
  await inside(`
    mkdir "$1/tree"; cd "$1/tree"
    cp -r ${ROOT}/src/share ${ROOT}/share .
    ln -s ../nowhere link; ln share/main.c hard; mkdir -m 1777 sticky; mkdir -m 2750 group
    touch -d 2001-02-03T04:05:06.123456789 old; chown 12:34 old; chown -h 56:78 link
    printf x >"$(printf 'name \\377\\n')"; truncate -s 5M sparse; chmod 0 share/relay.c
    cp -a "$1/tree" "$1/mnt-rw/tree"; cp -a "$1/mnt-rw/tree" "$1/back"
    list() { (cd "$1"; find . -mindepth 1 -printf '%P %y %m %U:%G %s %T@ %n %l\\n' | sort | sed '/ d /s/ [0-9]* / /'); }
    diff -r --no-dereference "$1/tree" "$1/rw/tree"; diff -r --no-dereference "$1/tree" "$1/back"
    cd /; list "$1/tree" >"$1/a"; list "$1/rw/tree" >"$1/b"; list "$1/back" >"$1/c"
    grep -v ' d ' "$1/a" >"$1/a1"; grep -v ' d ' "$1/b" | diff "$1/a1" -; grep -v ' d ' "$1/c" | diff "$1/a1" -
  `);
});

sharing("git works on it: clone, commit, status, gc", async () => {
  const out = await inside(`
    git init -q "$1/origin"; cd "$1/origin"; cp -r ${ROOT}/src/share .
    git add .; git -c user.name=n -c user.email=e commit -qm first
    git clone -q "$1/origin" "$1/mnt-rw/clone"; cd "$1/mnt-rw/clone"
    echo more >>share/wire.ts; git -c user.name=n -c user.email=e commit -qam second
    git gc -q; git fsck --strict; touch untracked; git status --porcelain
    git -C "$1/rw/clone" -c safe.directory='*' log --format=%s
  `);
  expect(out).toBe("?? untracked\nsecond\nfirst\n");
});

sharing("a large file, a file that has no name any more, and 5,000 names", async () => {
  const out = await inside(`
    cd "$1/mnt-rw"; head -c 40000000 /dev/urandom >"$1/big"; cp "$1/big" big
    cmp "$1/big" big; cmp "$1/big" "$1/rw/big"
    exec 3<>open; echo written >&3; mv big over; echo x >new; mv new open; cat open
    rm open; echo again >&3; cat /proc/self/fd/3
    mkdir many; (cd "$1/rw/many"; seq 5000 | xargs touch); ls many | wc -l; ls -l many | grep -c ^-
    dd if=/dev/zero of=over bs=1 count=1 seek=50000000 conv=notrunc status=none; stat -c %s over
    fallocate -l 1M allocated; stat -c %s allocated; df . >/dev/null; rm -r "$1/rw/many"; ls
  `);
  expect(out.split("\n").filter((line) => !/^(tree|clone)$/.test(line))).toEqual([
    ...["x", "written", "again", "5000", "5000", "50000001", "1048576", "allocated", "over", ""],
  ]);
});

sharing("the host's changes are seen, and read-only is the host's word", async () => {
  writeFileSync(at("ro/fixed"), "fixed\n");
  expect(await inside('cat "$1/mnt-ro/fixed"')).toBe("fixed\n");
  writeFileSync(at("ro/fixed"), "changed on the host\n");
  writeFileSync(at("ro/later"), "");
  // By sendfile, which believes the size that the kernel knows.
  expect(await inside('busybox cat "$1/mnt-ro/fixed"')).toBe("changed on the host\n");
  writeFileSync(at("ro/fixed"), "changed again on the host\n");
  expect(await inside('cat "$1/mnt-ro/fixed"')).toBe("changed again on the host\n");
  writeFileSync(at("ro/fixed"), "changed on the host\n");
  await until(async () => (await inside('ls "$1/mnt-ro"')) === "fixed\nlater\n");
  const refused = await inside(`
    mount -o remount,rw "$1/mnt-ro"; cd "$1/mnt-ro"
    for try in 'echo x >new' 'echo x >fixed' 'rm fixed' 'chmod 0 fixed' 'mv fixed moved' 'mkdir d' 'ln -s a b'; do
      if sh -c "$try" 2>>"$1/refusals"; then echo "$try"; fi
    done
  `);
  expect(refused).toBe("");
  expect(readFileSync(at("refusals"), "utf8")).toContain("Read-only file system");
  expect(readFileSync(at("ro/fixed"), "utf8")).toBe("changed on the host\n");
});

sharing("a place that cannot be made says why", async () => {
  writeFileSync(at("plain"), "");
  symlinkSync(at("missing"), at("dangling"));
  const words = `${join(ROOT, "build/bin/banger-share")} ${at("other.sock")}`;
  const failed = async (path: string) =>
    await inside(`if ${words} "${path}" rw 2>&1; then exit 1; fi`);
  const start = (path: string) => `Cannot create the directory "${path}": `;
  expect(await failed(at("plain"))).toBe(`${start(at("plain"))}Not a directory\n`);
  expect(await failed(at("plain/below"))).toBe(`${start(at("plain/below"))}Not a directory\n`);
  expect(await failed(at("dangling"))).toBe(`${start(at("dangling"))}Not a directory\n`);
  const readOnly = at("mnt-ro/below");
  expect(await failed(readOnly)).toBe(`${start(readOnly)}Read-only file system\n`);
});

sharing(
  "files stay open while nobody is connected, and open again after the server died",
  async () => {
    const held = inside(`
    cd "$1/mnt-rw"; exec 3<>held; echo one >&3; touch "$1/ready"; until [ -e "$1/parted" ]; do sleep 0.1; done
    echo two >&3; cat held; touch "$1/still"; until [ -e "$1/killed" ]; do sleep 0.1; done
    if echo three >&3; then echo no error; fi; echo four >after; cat after
  `);
    await until(() => existsSync(at("ready")));
    part();
    writeFileSync(at("parted"), "");
    part = await connect(0);
    await until(() => existsSync(at("still")));
    server.kill("SIGKILL");
    await server.exited;
    rmSync(at("0.sock"));
    rmSync(at("1.sock"));
    serve();
    part = await connect(0);
    writeFileSync(at("killed"), "");
    expect(await held).toBe("one\ntwo\nfour\n");
    expect(readFileSync(at("rw/after"), "utf8")).toBe("four\n");
  },
);

sharing("a machine that sends garbage loses that share alone, with the reason", async () => {
  const hostile = createConnection({ path: at("0.sock") });
  hostile.on("error", () => {});
  hostile.write(Buffer.alloc(64, 0xff));
  await until(() => existsSync(at("0.failure")));
  expect(readFileSync(at("0.failure"), "utf8")).toContain("the machine sent a message of");
  await connect(1);
  expect(await inside('cat "$1/mnt-ro/fixed"')).toBe("changed on the host\n");
});
