/** First boots that install nothing, of images that cannot have it, and services that are looked for. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { VmHealth } from "#api/health.ts";
import type { Image } from "#api/image.ts";
import type { Vm } from "#api/vm.ts";
import { BUSYBOX_CONFIG, busyboxLayout } from "#test/busybox.ts";
import { debianLayout } from "#test/debian.ts";
import { type Installation, install } from "#test/installation.ts";
import { giveKernel } from "#test/pulled-kernel.ts";

const TIMEOUT_MS = 400_000;

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await giveKernel(banger);
  await banger.ok("image", "pull", `oci:${await debianLayout()}:bookworm`, "--name", "debian");
}, TIMEOUT_MS);

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
}, 120_000);

const exec = async (vm: string, script: string) =>
  (await banger.ok("vm", "exec", vm, "--", "sh", "-c", script)).trimEnd();

describe("without a network", () => {
  test(
    "is an error with the package manager's last words, and the machine can be looked into",
    async () => {
      const args = ["vm", "create", "--image", "debian", "--name", "alone", "--net", "none"];
      const { status, stdout, stderr } = await banger.call(args, { timeout_ms: TIMEOUT_MS });
      expect(status).not.toBe(0);
      expect(stdout).toBe("");
      expect(stderr).toContain("No network and no init system");
      expect(stderr).toMatch(/E: (Unable to locate package|Package .* has no installation)/);
      expect(stderr).toContain("banger vm exec alone -- sh");
      expect(stderr.split("\n").length).toBeLessThan(60);
      const vm = await banger.json<Vm>("vm", "show", "alone");
      expect([vm.state, vm.warning]).toEqual(["running", expect.stringContaining("No network")]);
      expect(await exec("alone", "cat /proc/1/cmdline | tr '\\0' ' '")).toContain("idle");
      expect((await banger.json<Image>("image", "show", "debian")).provisioned).toBeUndefined();
      await banger.ok("vm", "rm", "--force", "alone");
    },
    TIMEOUT_MS,
  );

  test("of a distribution that is not known is refused by its name", async () => {
    await busyboxLayout(join(banger.home, "busybox"));
    await banger.ok("image", "pull", `oci:${banger.home}/busybox`, "--name", "busybox");
    const args = ["vm", "create", "--image", "busybox", "--name", "odd", "--net", "none"];
    args.push("--mode", "systemd");
    const { stderr } = await banger.call(args);
    expect(stderr).toContain('unknown distribution "busybox"; use direct mode');
    await banger.ok("vm", "rm", "--force", "odd");
  });
});

describe("services that an image, or the configuration, says to look for", () => {
  const LABEL = "web=8080, db=5432";

  test("are shown as they are, and hold nothing up", async () => {
    const config = { ...BUSYBOX_CONFIG, Labels: { "banger.checks": LABEL } };
    await busyboxLayout(join(banger.home, "services"), { config });
    await banger.ok("image", "pull", `oci:${banger.home}/services`, "--name", "services");
    const args = ["--image", "services", "--name", "served", "--mode", "direct", "--net", "none"];
    await banger.ok("vm", "create", ...args);
    const health = () => banger.json<VmHealth>("vm", "health", "served");
    const [web, db] = [
      { name: "web", port: 8080, answers: false },
      { name: "db", port: 5432, answers: false },
    ];
    expect(await health()).toMatchObject({ name: "served", checks: [web, db] });
    // What the configuration looks for in any machine is shown only where it is.
    await exec("served", "httpd -p 8080; httpd -p 4096");
    const there = [{ ...web, answers: true }, db, { name: "opencode", port: 4096, answers: true }];
    const after = await health();
    expect(after.checks).toEqual(there);
    expect(after.memoryTotal_bytes).toBeGreaterThan(after.memoryAvailable_bytes);
    expect(Math.abs(after.clockAhead_ms)).toBeLessThan(60_000);
    expect((await banger.json<Vm>("vm", "show", "served")).checks).toEqual(there);
    expect(await banger.ok("vm", "show", "served")).toContain(
      "web on 8080 open, db on 5432 no answer, opencode on 4096 open",
    );
  }, 120_000);

  test("are found when they come up later, with nobody asking", async () => {
    const start = "(sleep 2; httpd -p 5432) & sleep 1000";
    const running = banger.spawn(["vm", "exec", "served", "--", "sh", "-c", start]);
    const answers = async () =>
      (await banger.json<Vm>("vm", "show", "served")).checks?.[1]?.answers;
    while (!(await answers())) await Bun.sleep(100);
    await banger.ok("vm", "stop", "served");
    expect((await banger.json<Vm>("vm", "show", "served")).checks).toBeUndefined();
    expect((await banger.call(["vm", "health", "served"])).stderr).toContain("served");
    await banger.ok("vm", "rm", "served");
    await running.exited;
  }, 120_000);
});
