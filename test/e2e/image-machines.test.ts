/** Machines of images that are the user's own files, and images that are built in machines: both for real. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import type { VmHealth } from "#api/health.ts";
import type { Image } from "#api/image.ts";
import type { Kernel } from "#api/kernel.ts";
import type { Vm } from "#api/vm.ts";
import { walk } from "#base/files/walk.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { buildCpio } from "#guest/initrd.ts";
import { AGENT_PATH } from "#guest/protocol.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { killPid } from "#test/processes.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";
import { dir, file, makeTar } from "#test/tar-build.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

const DIRECT = ["--mode", "direct", "--net", "none", "--memory", "256M"];

let banger: Installation;
let kernel: Kernel;
/** Its release: the folder below lib/modules. */
let release = "";

beforeAll(async () => {
  banger = install();
  await giveKernel(banger);
  kernel = await banger.json<Kernel>("kernel", "show", KERNEL);
  [release = ""] = readdirSync(join(kernel.path, "modules"));
  await busyboxLayout(at("busybox"));
  await banger.ok("image", "pull", `oci:${at("busybox")}`, "--name", "busybox");
  const { rootfs } = await banger.json<Image>("image", "show", "busybox");
  copyFileSync(rootfs, at("rootfs.ext4"));
  copyFileSync(join(kernel.path, "vmlinux"), at("vmlinux"));
  mkdirSync(at("seed/.config/deep"), { recursive: true });
  writeFileSync(at("seed/note"), "from the seed\n");
  writeFileSync(at("seed/.config/deep/tool"), "#!/bin/sh\necho tool\n", { mode: 0o755 });
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

function at(name: string): string {
  return join(banger.home, name);
}

async function exec(vm: string, script: string): Promise<string> {
  return (await banger.ok("vm", "exec", vm, "--", "sh", "-c", script)).trimEnd();
}

async function loadedModules(vm: string): Promise<string[]> {
  return (await exec(vm, "cut -d' ' -f1 /proc/modules")).split("\n");
}

describe("images of the user's own files", () => {
  test("boot their kernel with its modules, and start with the work seed in /root", async () => {
    const files = ["--rootfs", at("rootfs.ext4"), "--kernel", at("vmlinux")];
    const more = ["--modules", join(kernel.path, "modules"), "--work-seed", at("seed")];
    await banger.ok("image", "register", "mine", ...files, ...more);
    const vm = await banger.json<Vm>("vm", "create", "--image", "mine", "--name", "own", ...DIRECT);
    expect(vm).toMatchObject({ kernel: "image:mine", state: "running" });
    expect(await exec("own", "uname -r")).toBe(release);
    expect(
      await exec("own", "cd; pwd; cat note; .config/deep/tool; stat -c '%u:%g %a' . note"),
    ).toBe("/root\nfrom the seed\ntool\n0:0 755\n0:0 644");
    await exec("own", "echo changed > /root/note; rm -r /root/.config; sync");
    await banger.ok("vm", "restart", "own");
    expect(await exec("own", "cat /root/note; ls -A /root")).toBe("changed\n.ssh\nnote");
  });

  test("load modules when the kernel requests them, as modprobe.d says, and prefer their own", async () => {
    expect(await exec("own", "cat /proc/sys/kernel/modprobe; rm /bin/modprobe")).toBe(AGENT_PATH);
    await exec("own", "ip link add v0 type veth; : </dev/net/tun");
    expect(await exec("own", "ls /lib/modules/$(uname -r)/kernel")).toContain("net");
    const used = await loadedModules("own");
    for (const name of ["veth", "tun"]) expect(used).toContain(name);
    // What is not needed is not loaded.
    expect(used).not.toContain("vsock");
    const configuration = [
      "# options ifb numifbs=9",
      "options dummy \\",
      "  numdummies=2",
      "softdep dummy pre: zram post: vrf",
      "blacklist ifb",
      "install nlmon echo yes >/installed",
      "alias rtnl-link-m[a-m]ne team",
      "alias rtnl-link-bond off",
    ];
    writeFileSync(at("a.conf"), configuration.join("\n"));
    await exec("own", "mkdir -p /etc/modprobe.d");
    await banger.ok("vm", "cp", at("a.conf"), "own:/etc/modprobe.d/a.conf");
    const kinds = ["dummy", "ifb", "nlmon", "mine", "bond"];
    await exec(
      "own",
      `for kind in ${kinds.join(" ")}; do ip link add x-$kind type $kind; done; true`,
    );
    expect(await exec("own", "cd /sys/class/net; ls -d dummy*; cat /installed")).toBe(
      "dummy0\ndummy1\nyes",
    );
    const loaded = await loadedModules("own");
    for (const name of ["dummy", "zram", "vrf", "team"]) expect(loaded).toContain(name);
    for (const name of ["ifb", "nlmon", "bonding"]) expect(loaded).not.toContain(name);
    const tree = join(kernel.path, "modules", release);
    const paths = Array.from(walk(tree), ({ path }) => path);
    const veth = paths.find((path) => basename(path).startsWith("veth.ko")) ?? "";
    const own = `/lib/modules/${release}`;
    await exec("own", `umount ${own}`);
    await banger.ok("vm", "cp", join(tree, veth), `own:${own}/${basename(veth)}`);
    const lists = `echo ${basename(veth)}: >modules.dep; echo alias rtnl-link-veth veth >modules.alias`;
    await exec("own", `cd ${own}; ${lists}; sync`);
    await banger.ok("vm", "restart", "own");
    await exec("own", "ip link add v0 type veth; ip link add x type dummy; true");
    expect(await loadedModules("own")).toContain("veth");
    expect(await loadedModules("own")).not.toContain("dummy");
  });

  test("a second machine has a /root of its own, and promoted files do as well as the user's", async () => {
    await banger.ok("image", "promote", "mine");
    rmSync(at("seed"), { recursive: true });
    const run = ["vm", "run", "--net", "none", "--memory", "256M", "mine", "--"];
    expect(await banger.ok(...run, "cat", "/root/note")).toBe("from the seed\n");
    await banger.ok("vm", "restart", "own");
    expect(await exec("own", "cat /root/note")).toBe("changed");
    await banger.ok("vm", "rm", "--force", "own");
  });

  test("an initrd gives the modules where no folder does, and its files are there at the boot", async () => {
    const boot = join(kernel.path, "boot");
    const modules = readdirSync(boot).map((name) => ({
      path: `usr/lib/modules/${release}/kernel/drivers/${name}`,
      data: readFileSync(join(boot, name)),
    }));
    // As initramfs-tools and dracut put it: microcode in front, uncompressed, and an init of its own.
    const early = buildCpio([
      { path: "kernel/x86/microcode/AuthenticAMD.bin", data: Buffer.from("x") },
    ]);
    const main = buildCpio([
      { path: "init", mode: 0o755, data: Buffer.from("not this one") },
      ...modules,
    ]);
    writeFileSync(at("initrd.img"), Buffer.concat([early, Buffer.alloc(512), gzipSync(main)]));
    const files = ["--rootfs", at("rootfs.ext4"), "--kernel", at("vmlinux")];
    await banger.ok("image", "register", "early", ...files, "--initrd", at("initrd.img"));
    const run = ["vm", "run", "--net", "none", "--memory", "256M", "early", "--"];
    expect(await banger.ok(...run, "uname", "-r")).toBe(`${release}\n`);
  });
});

const DOCKERFILE = `ARG BASE
FROM \${BASE} AS build
WORKDIR /built
ENV GREETING="hello world"
RUN echo "$GREETING $PASSED" > out && ln out hard && mknod null c 1 3 && touch gone
RUN cat /proc/sys/kernel/random/uuid > first
COPY --chown=bob src ./src/
RUN rm gone && rm -r /home && mkdir -p /home/new && cat /proc/sys/kernel/random/uuid src/a > second
RUN <<EOT
set -e
id -un > who
sleep 1000 &
EOT
FROM build
RUN mkdir -m 750 /run/app && chown bob /run/app && echo 1 > /run/app/pid
USER bob
RUN id -un > /tmp/who-2
LABEL made=here
ENTRYPOINT ["/bin/cat"]
CMD ["/built/out"]
`;

/** Each command adds to /seen what it finds. */
const STEPS = `ARG BASE
FROM \${BASE}
RUN cut -d" " -f2 /proc/self/mounts > /mounts
RUN mkdir -p /var/lib/docker /var/lib/containers && touch /var/lib/docker/kept && rmdir /var/lib/containers
RUN env | sed 's/=.*//' | grep -v -e PWD -e SHLVL | sort | xargs > /seen; echo $HOME >> /seen
USER bob
RUN --mount=type=tmpfs,target=/mnt/t,size=64k cd && pwd > /mnt/t/x && cat /mnt/t/x > /tmp/y
USER root
RUN --network=none cat /tmp/y >> /seen && ls /sys/class/net >> /seen
RUN --mount=source=src,target=/mnt/in --mount=target=/opt/rw,rw cat /mnt/in/a >> /seen; \\
  touch /mnt/in/b 2>/dev/null && echo written >> /seen; touch /opt/rw/b && ls /opt/rw/b >> /seen
RUN --mount=type=secret,id=tok,env=TOK --mount=type=secret,id=tok <<EOT
echo $TOK | md5sum | cut -c1-8 >> /seen
md5sum < /run/secrets/tok | cut -c1-8 >> /seen
stat -c '%a %u' /run/secrets/tok >> /seen
EOT
RUN --mount=type=cache,target=/mnt/cache,uid=1000 --mount=type=tmpfs,target=/mnt/cache/sub echo one >> /mnt/cache/f; stat -c %u /mnt/cache >> /seen
RUN <<-EOT
	#!/bin/sh -e
	echo script $0 >> /seen
EOT
RUN cat 3<<A <&3 >> /seen
here $HOME
A
RUN --mount=type=ssh,uid=1000 ls -ln $SSH_AUTH_SOCK | cut -c1-10 >> /seen
RUN --mount=type=ssh --mount=source=ask,target=/mnt/ask for i in 1 2; do /mnt/ask $SSH_AUTH_SOCK "call $i" >> /seen; done
USER bob
RUN echo heard > /dev/stdout && nosuchcommand || echo $? > /tmp/status
USER root
RUN rm -rf /run/* && cat /tmp/status >> /seen && mkdir /run/kept
`;

const SEEN = `FROM_IMAGE HOME PATH
/root
/home/bob
lo
two
/opt/rw/b
17a924fe
33e1b232
400 0
1000
script /dev/pipes/EOT
here /root
srw-------
answer to call 1
answer to call 2
127
`;

const CACHE_AGAIN = `ARG BASE
FROM \${BASE}
RUN --mount=type=cache,target=/mnt/cache echo two >> /mnt/cache/f && cat /mnt/cache/f > /out
USER bob
WORKDIR /out.d
HEALTHCHECK --timeout=100s CMD id -un; pwd; test -e /out
`;

describe("image build", () => {
  const build = (...more: string[]) =>
    banger.ok(
      "image",
      "build",
      at("context"),
      "--build-arg",
      "BASE=busybox",
      "--net",
      "none",
      "--memory",
      "256M",
      ...more,
    );
  const read = async (path: string): Promise<string> => {
    const { rootfs } = await banger.json<Image>("image", "show", "built");
    using reader = openExt4(rootfs);
    return Buffer.from(reader.readFile(path)).toString();
  };

  test("runs the commands of a Dockerfile in machines, keeps what they changed, and takes up cached steps", async () => {
    mkdirSync(at("context/src"), { recursive: true });
    writeFileSync(at("context/Dockerfile"), DOCKERFILE);
    writeFileSync(at("context/src/a"), "one\n");
    writeFileSync(at("context/src/a.log"), "left out");
    writeFileSync(at("context/.dockerignore"), "**/*.log\nDockerfile\n");
    expect(await build("--name", "built")).toBe("built\n");
    const image = await banger.json<Image>("image", "show", "built");
    expect(image.config).toMatchObject({
      cmd: ["/built/out"],
      entrypoint: ["/bin/cat"],
      labels: { made: "here" },
      user: "bob",
      workdir: "/built",
    });
    using reader = openExt4(image.rootfs);
    expect(
      reader
        .list("/built")
        .map(({ name }) => Buffer.from(name).toString())
        .sort(),
    ).toEqual(["first", "hard", "null", "out", "second", "src", "who"]);
    expect(reader.stat("/built/out").links).toBe(2);
    expect(reader.stat("/built/null")).toMatchObject({ major: 1, minor: 3 });
    expect(reader.stat("/built/src/a")).toMatchObject({ uid: 1000, gid: 1000 });
    expect(reader.list("/home").map(({ name }) => Buffer.from(name).toString())).toEqual(["new"]);
    expect(await read("/built/who")).toBe("root\n");
    expect(await read("/tmp/who-2")).toBe("bob\n");
    expect(reader.stat("/run/app")).toMatchObject({ uid: 1000, mode: 0o750 });
    expect(await read("/run/app/pid")).toBe("1\n");
    expect(reader.list("/run").map(({ name }) => Buffer.from(name).toString())).toEqual(["app"]);
    // Nothing that the machines wrote for themselves is in it.
    expect(() => reader.stat("/etc/machine-id")).toThrow("no such file");
    expect(() => reader.stat("/root/.ssh")).toThrow("no such file");
    expect(() => reader.stat("/etc/ssh")).toThrow("no such file");
    const first = await read("/built/first");
    const second = await read("/built/second");
    const fsck = Bun.spawnSync(["/sbin/e2fsck", "-fn", image.rootfs]);
    expect([fsck.exitCode, fsck.stdout.toString()]).toMatchObject([
      0,
      expect.stringContaining("blocks"),
    ]);

    await build("--name", "built");
    expect((await banger.json<Image>("image", "show", "built")).digest).toBe(image.digest);
    writeFileSync(at("context/src/a"), "two\n");
    await build("--name", "built");
    expect(await read("/built/first")).toBe(first);
    expect(await read("/built/second")).not.toBe(second);
    expect(await read("/built/second")).toEndWith("two\n");
    expect(await banger.ok("vm", "run", "--net", "none", "--memory", "256M", "built")).toBe(
      "hello world \n",
    );
  });

  test("a command has the mounts, the network and the environment that its flags say, and no other", async () => {
    mkdirSync(at("context/src"), { recursive: true });
    writeFileSync(at("context/src/a"), "two\n");
    writeFileSync(at("context/Steps"), STEPS);
    writeFileSync(at("secret"), "s3cret");
    // As ssh and its agent talk: a question, and an answer.
    const sockets = createServer((socket) =>
      socket.once("data", (asked) => socket.end(`answer to ${asked}\n`)),
    ).listen(at("agent.sock"));
    const source = join(import.meta.dir, "../support/unix-ask.c");
    const cc = Bun.spawnSync(["gcc", "-static", "-o", at("context/ask"), source]);
    expect(cc.exitCode).toBe(0);
    const args = ["-f", at("context/Steps"), "--name", "built", "--secret"];
    await build(...args, `id=tok,src=${at("secret")}`, "--ssh", `default=${at("agent.sock")}`);
    sockets.close();
    expect(await read("/seen")).toBe(SEEN);
    const mounts = (await read("/mounts")).trim().split("\n");
    const kernels = /^\/(dev|proc|sys)(\/|$)/;
    expect(mounts.filter((path) => !kernels.test(path))).toEqual(["/"]);
    const { rootfs } = await banger.json<Image>("image", "show", "built");
    using reader = openExt4(rootfs);
    const names = (path: string) =>
      reader.list(path).map(({ name }) => Buffer.from(name).toString());
    expect(names("/var/lib/docker")).toEqual(["kept"]);
    expect(names("/var/lib")).not.toContain("containers");
    expect(names("/run")).toEqual(["kept"]);
    for (const path of ["/mnt", "/run/secrets", "/dev/pipes", "/opt"]) {
      expect(() => reader.stat(path)).toThrow("no such file");
    }
    expect(readFileSync(rootfs).includes("s3cret")).toBe(false);
    // What is in a cache outlives the build.
    writeFileSync(at("context/Again"), CACHE_AGAIN);
    await build("-f", at("context/Again"), "--name", "built", "--no-cache");
    expect(await read("/out")).toBe("one\ntwo\n");
    await banger.ok("vm", "create", "--image", "built", "--name", "asked", ...DIRECT);
    const health = async () => (await banger.json<VmHealth>("vm", "health", "asked")).healthcheck;
    expect(await health()).toMatchObject({ isHealthy: true, output: "bob\n/out.d" });
    await banger.ok("vm", "exec", "--user", "root", "asked", "--", "rm", "/out");
    expect(await health()).toMatchObject({ isHealthy: false, output: "bob\n/out.d" });
    await banger.ok("vm", "rm", "--force", "asked");
  });

  test("files come to the same with a machine in between, also where they replace others", async () => {
    const old = [
      "mkdir -p /t/sub /keep/in /real",
      "echo old > /t/sub/x",
      "echo f > /f",
      "ln -s real /l",
      "chmod 711 /keep /keep/in",
      "chown bob /keep /keep/in",
    ].join(" && ");
    const context = join(at("context"), "files");
    mkdirSync(join(context, "tree/in"), { recursive: true });
    writeFileSync(join(context, "tree/in/a"), "a");
    linkSync(join(context, "tree/in/a"), join(context, "tree/in/b"));
    const tar = makeTar([file("t", "new"), dir("f"), file("f/y", "y"), dir("l"), file("l/z", "z")]);
    writeFileSync(join(context, "new.tar"), tar);
    const steps = `COPY --chown=5:6 tree /keep\nADD new.tar /\n`;
    const look =
      "RUN { cat /t /f/y /l/z /keep/in/b; ls -A /f /l /real; stat -c '%u:%g %a' /keep /keep/in; stat -c '%u:%g %a %h' /keep/in/a; }";
    const apart = `FROM busybox AS base\nRUN ${old}\nFROM base\n${steps}`;
    writeFileSync(join(context, "One"), `FROM busybox\nRUN ${old}\n${steps}${look} > /seen\n`);
    writeFileSync(join(context, "Two"), `${apart}${look} > /seen\n`);
    const seen: string[] = [];
    for (const name of ["One", "Two"]) {
      const options = ["--net", "none", "--memory", "256M", "--no-cache", "--name", "same"];
      await banger.ok("image", "build", context, "-f", join(context, name), ...options);
      const { rootfs } = await banger.json<Image>("image", "show", "same");
      using reader = openExt4(rootfs);
      seen.push(Buffer.from(reader.readFile("/seen")).toString());
    }
    expect(seen[1]).toBe(seen[0] ?? "");
    const lines = ["newyza/f:", "y", "", "/l:", "z", "", "/real:"];
    const stats = ["1000:0 711", "5:6 755", "5:6 644 2"];
    expect(seen[0]).toBe([...lines, ...stats, ""].join("\n"));
  });

  test("a command that fails shows what it printed and how it ended, and leaves nothing", async () => {
    writeFileSync(
      at("context/Bad"),
      "FROM busybox\nRUN echo made > /made\nRUN echo to-out; echo to-err >&2; exit 3\n",
    );
    const args = ["image", "build", "-f", at("context/Bad"), "--name", "bad", "--net", "none"];
    const { status, stderr } = await banger.call(args);
    expect(status).toBe(14);
    expect(stderr).toContain("line 3 of the Dockerfile: the command exited with exit status 3:");
    expect(stderr).toContain("to-out");
    expect(stderr).toContain("to-err");
    await expectNothingLeft("bad");
  });

  test("^C ends the command, its machine and the build", async () => {
    writeFileSync(at("context/Slow"), "FROM busybox\nRUN echo begun; sleep 1000\n");
    const args = [
      "image",
      "build",
      "-f",
      at("context/Slow"),
      "--name",
      "slow",
      "--net",
      "none",
      "--json",
    ];
    const child = banger.spawn(args);
    let text = "";
    for await (const chunk of child.stderr) {
      text += Buffer.from(chunk).toString();
      if (text.includes(": begun")) break;
    }
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    await expectNothingLeft("slow");
  });

  test("a script makes an image of another one", async () => {
    writeFileSync(at("setup.sh"), "set -e\necho said by it\necho kept > /scripted\n");
    const args = [
      "--from-image",
      "busybox",
      "--script",
      at("setup.sh"),
      "--name",
      "built",
      "--net",
      "none",
    ];
    const { status, stdout, stderr } = await banger.call([
      "image",
      "build",
      "--progress=plain",
      ...args,
    ]);
    expect([status, stdout]).toEqual([0, "built\n"]);
    expect(stderr).toContain("\n  said by it\n");
    expect(await read("/scripted")).toBe("kept\n");
    const { config } = await banger.json<Image>("image", "show", "built");
    expect(config.cmd).toEqual(["sh"]);
  });

  test("a daemon that is killed in the middle of a build leaves nothing that the next one does not remove", async () => {
    // The folder makes the stage one of its own, so that its machine stands on an image in between.
    const text = "FROM busybox\nWORKDIR /own\nRUN echo begun; sleep 1000\n";
    writeFileSync(at("context/Killed"), text);
    const args = ["-f", at("context/Killed"), "--name", "killed", "--net", "none", "--json"];
    const child = banger.spawn(["image", "build", ...args]);
    let said = "";
    for await (const chunk of child.stderr) {
      said += Buffer.from(chunk).toString();
      if (said.includes(": begun")) break;
    }
    const daemon = banger.processes().find(({ command }) => command.includes("daemon run"));
    killPid(daemon?.pid);
    expect(await child.exited).not.toBe(0);
    const images = at("state/banger/images");
    const kept = (await banger.json<Image[]>("image", "list")).length;
    while (readdirSync(images).length > kept) await Bun.sleep(50);
    await expectNothingLeft("killed");
  });

  async function expectNothingLeft(name: string): Promise<void> {
    const images = await banger.json<Image[]>("image", "list");
    expect(images.map((image) => image.name)).not.toContain(name);
    expect(await banger.json<Vm[]>("vm", "list")).toEqual([]);
    expect(readdirSync(at("state/banger/images"))).toHaveLength(images.length);
    const steps = readdirSync(at("cache/banger/builds"));
    expect(steps.filter((step) => step.startsWith("."))).toEqual([]);
  }
});
