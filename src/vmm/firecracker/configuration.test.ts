import { expect, test } from "bun:test";
import fc from "fast-check";
import { complaintAbout, endpoints, fieldsSince } from "#test/firecracker-description.ts";
import type { BootSpec } from "#vmm/driver.ts";
import { configuration, limitRequests, type MachineOptions, restoration } from "./configuration.ts";
import { jailedPaths, plainPaths } from "./layout.ts";

const base: BootSpec = {
  id: "one",
  runtimeDir: "/run/one",
  consolePath: "/state/console",
  logPath: "/state/log",
  cpus: 2,
  memory_mib: 512,
  kernelPath: "/state/vmlinux",
  initrdPath: "/state/initrd",
  kernelArgs: [],
  drives: [
    { path: "/state/root.img", readOnly: true },
    { path: "/state/data.img", readOnly: false },
  ],
  network: { kind: "tap", tap: "tap0", mac: "52:54:00:00:00:01" },
};

const NEWEST = "1.17.0";

function requests(options: MachineOptions = {}, version = NEWEST, spec = base) {
  return configuration(spec, { version, paths: plainPaths(spec), options });
}

function bodyOf(path: string, options: MachineOptions = {}, version = NEWEST) {
  return requests(options, version).find((request) => request.path === path)?.body;
}

test("drives: order, mode, cache", () => {
  expect(bodyOf("/drives/disk0")).toEqual({
    drive_id: "disk0",
    path_on_host: "disk0",
    is_root_device: false,
    is_read_only: true,
    cache_type: "Unsafe",
    io_engine: "Sync",
  });
  expect(bodyOf("/drives/disk1")).toMatchObject({ is_read_only: false, cache_type: "Writeback" });
});

test("limits of the disks become token buckets that fill once a second, also of a snapshot", () => {
  const diskLimits = { bytes_per_s: 1e6, operations_per_s: 500 };
  const rate_limiter = {
    bandwidth: { size: 1_000_000, refill_time: 1000 },
    ops: { size: 500, refill_time: 1000 },
  };
  const spec = { ...base, diskLimits };
  for (const drive_id of ["disk0", "disk1"]) {
    const put = requests({}, NEWEST, spec).find(({ path }) => path === `/drives/${drive_id}`);
    expect(put?.body).toMatchObject({ rate_limiter });
  }
  const snapshot = { memoryPath: "/cache/memory", statePath: "/cache/state" };
  const context = { version: NEWEST, paths: plainPaths(spec, snapshot), options: {} };
  const [load, ...patches] = restoration(spec, snapshot, context).slice(-3);
  expect(load?.path).toBe("/snapshot/load");
  expect(patches).toEqual(
    ["disk0", "disk1"].map((drive_id) => ({
      method: "PATCH",
      path: `/drives/${drive_id}`,
      body: { drive_id, rate_limiter },
    })),
  );
  for (const { body } of patches) expect(complaintAbout(body, "@PartialDrive")).toBeUndefined();
  const none = { size: 0, refill_time: 0 };
  expect(limitRequests(1, { bytes_per_s: 0 })[0]?.body).toEqual({
    drive_id: "disk0",
    rate_limiter: { bandwidth: none, ops: none },
  });
});

test("the network is a tap, with the machine's address", () => {
  expect(bodyOf("/network-interfaces/eth0")).toEqual({
    iface_id: "eth0",
    host_dev_name: "tap0",
    guest_mac: "52:54:00:00:00:01",
  });
  const none = requests({}, NEWEST, { ...base, network: undefined });
  expect(none.some(({ path }) => path.startsWith("/network"))).toBe(false);
});

test("kernel, initrd, parameters and machine", () => {
  expect(bodyOf("/boot-source")).toMatchObject({
    kernel_image_path: "/state/vmlinux",
    initrd_path: "/state/initrd",
    boot_args: expect.stringMatching(/^console=ttyS0 quiet .*\bpci=off .*random\.trust_cpu=on/),
  });
  const withoutConsole = bodyOf("/boot-source", { serial: false })?.["boot_args"];
  expect(withoutConsole).toStartWith("8250.nr_uarts=0 ");
  expect(bodyOf("/machine-config")).toEqual({ vcpu_count: 2, mem_size_mib: 512, smt: false });
});

test("what a guest writes to its serial port is limited where Firecracker can, console or not", () => {
  const limit = { rate_limiter: { size: 1024 * 1024, refill_time: 1000 } };
  expect(bodyOf("/serial", { serial: true }, "1.16.0")).toEqual(limit);
  expect(bodyOf("/serial", { serial: false }, "1.16.0")).toEqual(limit);
  expect(bodyOf("/serial", { serial: true }, "1.15.2")).toBeUndefined();
});

test("log, random numbers, vsock, no metrics and no metadata service", () => {
  expect(bodyOf("/logger")).toEqual({ level: "Info", show_level: true });
  expect(bodyOf("/metrics")).toBeUndefined();
  expect(bodyOf("/entropy")).toEqual({});
  expect(bodyOf("/vsock")).toEqual({ guest_cid: 3, uds_path: "vsock.sock" });
  expect(requests().filter(({ path }) => path.startsWith("/mmds"))).toEqual([]);
});

test("in a jail nothing outside of it is named", () => {
  const paths = jailedPaths(base);
  const all = configuration(base, { version: NEWEST, paths, options: {} });
  const text = JSON.stringify(all);
  expect(text).not.toContain("/state/");
  expect(text).not.toContain("/run/");
  expect(text).toContain('"path_on_host":"disk1"');
});

test("a snapshot is loaded with the machine's own tap, and the limit of its console", () => {
  const snapshot = { memoryPath: "/cache/memory", statePath: "/cache/state" };
  const requestsOf = (spec: BootSpec, version: string) =>
    restoration(spec, snapshot, { version, paths: plainPaths(base, snapshot), options: {} });
  const paths = requestsOf(base, "1.15.0").map(({ path }) => path);
  expect(paths).toEqual(["/logger", "/snapshot/load"]);
  expect(requestsOf(base, "1.16.0").at(-2)?.path).toBe("/serial");
  const load = requestsOf(base, "1.12.0").at(-1)?.body;
  expect(load).toEqual({
    snapshot_path: "/cache/state",
    mem_backend: { backend_type: "File", backend_path: "/cache/memory" },
    resume_vm: true,
    network_overrides: [{ iface_id: "eth0", host_dev_name: "tap0" }],
  });
  expect(complaintAbout(load, "@SnapshotLoad")).toBeUndefined();
  const alone = requestsOf({ ...base, network: undefined }, NEWEST).at(-1)?.body;
  expect(JSON.stringify(alone)).not.toContain("network");
});

test("every request for every machine follows the description of its version", () => {
  const limit = fc.option(
    fc.record({ bytes_per_s: fc.nat(), operations_per_s: fc.nat() }, { requiredKeys: [] }),
    { nil: undefined },
  );
  const machine = fc.record({
    cpus: fc.integer({ min: 1, max: 32 }),
    memory_mib: fc.integer({ min: 16, max: 1 << 20 }),
    modes: fc.array(fc.boolean(), { maxLength: 8 }),
    hasNetwork: fc.boolean(),
    minor: fc.integer({ min: 7, max: 17 }),
    serial: fc.boolean(),
    diskLimits: limit,
  });
  fc.assert(
    fc.property(machine, ({ modes, hasNetwork, minor, serial, ...rest }) => {
      const drives = modes.map((readOnly, index) => ({ path: `/d${index}`, readOnly }));
      const network = hasNetwork ? base.network : undefined;
      const spec = { ...base, ...rest, drives, network };
      for (const { method, path, body } of requests({ serial }, `1.${minor}.0`, spec)) {
        const pattern = path.replace(/^\/(drives|network-interfaces)\/\w+$/, "/$1/*");
        const endpoint = endpoints[`${method} ${pattern}`];
        if (!endpoint?.body) throw new Error(`no such request: ${method} ${path}`);
        const minorOf = (version = "1.0") => Number(version.split(".")[1]);
        expect(endpoint.when).toBe("before");
        expect(minorOf(endpoint.since)).toBeLessThanOrEqual(minor);
        expect(complaintAbout(body, `@${endpoint.body}`)).toBeUndefined();
        for (const field of Object.keys(body ?? {})) {
          expect(minorOf(fieldsSince[`${endpoint.body}.${field}`])).toBeLessThanOrEqual(minor);
        }
      }
    }),
    { numRuns: 200 },
  );
});
