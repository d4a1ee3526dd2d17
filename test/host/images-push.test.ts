/** Images that leave as one layer and come back, through a real registry, layouts and archives. */
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { differences, setXattr, truthOf } from "#test/file-truth.ts";
import { openTestStore, type TestStore } from "#test/image-store.ts";
import { testNeeding } from "#test/needs.ts";
import { json, type MadeImage, makeImage, part, pushImage } from "#test/oci-image.ts";
import { startProxy } from "#test/proxy.ts";
import { type Registry, startRegistry } from "#test/registry.ts";
import { startTokenServer } from "#test/token-server.ts";

const LOGIN = { user: "alice", password: "s3cret-w0rd" };
const here = testNeeding("docker-registry");
const isRoot = testNeeding("docker-registry", "root", "mount", "tar", "skopeo");

let folder: string;
let registry: Registry;
let store: TestStore;

beforeAll(async () => {
  if (!Bun.which("docker-registry")) return;
  folder = mkdtempSync(join(tmpdir(), "banger-image-push-"));
  registry = await startRegistry();
  store = openTestStore();
});

afterAll(async () => {
  store?.[Symbol.dispose]();
  await registry?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** Everything that a layer can hold and that is easy to get wrong. */
const VARIETY = String.raw`
umask 022
mkdir -p etc deep; echo hi > etc/file; : > empty; head -c 5000000 /dev/urandom > big; echo -n x > one
for n in 59 60 100 101 255; do ln -s "$(head -c $n /dev/zero | tr '\0' x)" symlink-$n; done
name=$(head -c 255 /dev/zero | tr '\0' n); echo long > "$name"; mkdir "$name-d" 2>/dev/null || mkdir dir; echo l > deep/$name
ln big hard-a; ln big deep/hard-b; ln deep/$name hard-to-long; ln -s target sym-a; ln sym-a sym-b
printf bytes > "$(printf 'not-utf8-\377\376')"; printf n > "$(printf 'new\nline')"
mknod char c 1 3; mknod block b 7 200; mknod big-minor c 10 300000; mkfifo pipe
mkdir setgid sticky none; chmod 2755 setgid; chmod 1777 sticky; chmod 0 none; echo s > setuid; chmod 4755 setuid
echo o > owned; chown 1234:5678 owned; echo O > big-owner; chown 3000000000:4000000000 big-owner
touch -d '1960-01-02 03:04:05.123456789' before-1970; touch -d '1969-12-31 23:59:59.5' last-second; touch -d '2400-06-07 08:09:10.000000001' far
truncate -s 40M hole-all; truncate -s 3000000 hole-end; printf start | dd of=hole-end conv=notrunc status=none
dd if=/dev/urandom of=hole-middle bs=4096 count=3 seek=2000 status=none
for i in $(seq 0 40 400); do dd if=/dev/urandom of=hole-many bs=4096 count=1 seek=$i conv=notrunc status=none; done
touch attrs; cp /bin/true capable; mkdir many; (cd many; seq 1500 | xargs touch)
`;

/** An image whose one layer GNU tar has packed from such a tree. */
async function makeVariety(): Promise<MadeImage> {
  const tree = mkdtempSync(join(folder, "tree-"));
  await runOk(["sh", "-euc", VARIETY], { cwd: tree });
  setXattr(join(tree, "attrs"), "user.a", Uint8Array.of(0, 255, 10, 61));
  setXattr(join(tree, "attrs"), "trusted.t", "v".repeat(2000));
  const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
  setXattr(join(tree, "capable"), "security.capability", capability);
  const path = `${tree}.tar.gz`;
  const flags = ["--format=pax", "--sparse", "--xattrs", "--xattrs-include=*"];
  await runOk(["tar", ...flags, "-czf", path, "-C", tree, "."]);
  const layer = part("application/vnd.oci.image.layer.v1.tar+gzip", readFileSync(path));
  const tar = gunzipSync(layer.bytes);
  const platform = { os: "linux", architecture: "amd64" };
  const config = json("application/vnd.oci.image.config.v1+json", {
    ...platform,
    created: "2024-05-06T07:08:09Z",
    config: {
      Entrypoint: ["/init", "--flag"],
      Cmd: ["serve"],
      Env: ["A=b"],
      WorkingDir: "/srv",
      User: "1000:1000",
      ExposedPorts: { "80/tcp": {} },
      Labels: { "org.example": "yes" },
      StopSignal: "SIGINT",
    },
    rootfs: { type: "layers", diff_ids: [part("", tar).digest] },
  });
  const manifest = json("application/vnd.oci.image.manifest.v1+json", {
    schemaVersion: 2,
    config: { mediaType: config.mediaType, digest: config.digest, size: config.bytes.length },
    layers: [{ mediaType: layer.mediaType, digest: layer.digest, size: layer.bytes.length }],
  });
  return { manifest, config, layers: [layer], tars: [tar], platform };
}

async function mounted<T>(image: string, look: (at: string) => T): Promise<T> {
  const at = mkdtempSync(join(folder, "mount-"));
  await runOk(["mount", "-t", "ext4", "-o", "loop,ro", image, at]);
  try {
    return look(at);
  } finally {
    await runOk(["umount", at]);
  }
}

isRoot("an image comes back as it left: by push, as a layout, and as archives", async () => {
  const made = await makeVariety();
  await pushImage(made, { host: registry.host, name: "team/variety" }, ["v1"]);
  const platform = "linux/amd64";
  const reference = `${registry.host}/team/variety:v1`;
  const image = await store.images.pull({ reference, name: "variety", platform });
  const truth = await mounted(image.rootfs, truthOf);
  expect(truth.size).toBeGreaterThan(1500);

  const target = `${registry.host}/team/copy:v2`;
  const pushed = await store.images.push("variety", target);
  const layout = join(folder, "layout");
  const archive = join(folder, "archive.tar");
  const docker = join(folder, "docker.tar");
  const saved = await Promise.all([
    store.images.save({ name: "variety", format: "oci", path: layout }),
    store.images.save({ name: "variety", format: "oci", path: archive }),
    store.images.save({ name: "variety", format: "docker", path: docker }),
  ]);
  for (const each of saved) expect(each.digest).toBe(pushed.digest);

  const inspected = JSON.parse(
    await runOk(["skopeo", "inspect", "--tls-verify=false", `docker://${target}`]),
  );
  expect(inspected).toMatchObject({ Digest: pushed.digest, Architecture: "amd64", Os: "linux" });
  for (const source of [
    `oci:${layout}:variety`,
    `oci-archive:${archive}`,
    `docker-archive:${docker}`,
  ]) {
    const copy = join(folder, "copied");
    await runOk(["skopeo", "copy", source, `dir:${copy}`]);
    rmSync(copy, { recursive: true });
  }
  const places = [target, `oci:${layout}`, `oci-archive:${archive}`, `docker-archive:${docker}`];
  for (const [index, place] of places.entries()) {
    const back = await store.images.pull({ reference: place, name: `back${index}`, platform });
    expect(back.config).toEqual(image.config);
    expect(back.builtAt).toBe("2024-05-06T07:08:09Z");
    expect(differences(truth, await mounted(back.rootfs, truthOf))).toEqual([]);
    await runOk(["e2fsck", "-fn", back.rootfs]);
  }
  // What came back leaves with the same digests: nothing in them is of this moment or this computer.
  const again = await store.images.push("back0", `${registry.host}/team/copy:v3`);
  const [first, second] = await Promise.all(
    ["v2", "v3"].map(async (tag) => {
      const url = `http://${registry.host}/v2/team/copy/manifests/${tag}`;
      const accept = "application/vnd.oci.image.manifest.v1+json";
      return (await (await fetch(url, { headers: { accept } })).json()) as { layers: unknown };
    }),
  );
  expect(second?.layers).toEqual(first?.layers);
  expect(again.size_bytes).toBe(pushed.size_bytes);
  // Holes stay holes on the way.
  expect(pushed.size_bytes).toBeLessThan(16 * MiB);
});

here("push logs in with docker's credentials, and says so when they do not do", async () => {
  await using closed = await startRegistry({ login: LOGIN });
  using own = openTestStore();
  const made = await makeImage();
  await pushImage(made, { host: registry.host, name: "team/app" }, ["latest"]);
  const image = await own.images.pull({
    reference: `${registry.host}/team/app`,
    platform: "linux/amd64",
  });
  const target = `${closed.host}/team/app:latest`;
  const refused = await bangerErrorOf(own.images.push(image.name, target));
  expect(refused.code).toBe("unauthorized");
  expect(refused.hint).toContain("docker login");
  const auth = btoa(`${LOGIN.user}:${LOGIN.password}`);
  writeFileSync(
    join(own.folder, "docker.json"),
    JSON.stringify({ auths: { [closed.host]: { auth } } }),
  );
  const pushed = await own.images.push(image.name, target);
  const back = await own.images.pull({ reference: target, name: "back", platform: "linux/amd64" });
  expect(back.digest).toBe(pushed.digest);
  // Nothing is sent that exists already.
  const steps: string[] = [];
  await own.images.push(image.name, target, { onProgress: ({ message }) => steps.push(message) });
  expect(steps.filter((text) => text.endsWith("is there already")).length).toBe(2);
});

here(
  "push asks a token server for the right to push, and a pull for no more than it needs",
  async () => {
    await using tokens = await startTokenServer(mkdtempSync(join(folder, "token-")));
    await using guarded = await startRegistry({ auth: tokens.auth });
    using own = openTestStore();
    await pushImage(await makeImage(), { host: registry.host, name: "team/app" }, ["latest"]);
    const platform = "linux/amd64";
    await own.images.pull({ reference: `${registry.host}/team/app`, name: "app", platform });
    const target = `${guarded.host}/team/app:latest`;
    const pushed = await own.images.push("app", target);
    expect(new Set(tokens.asked.map(({ scope }) => scope))).toEqual(
      new Set(["repository:team/app:pull,push"]),
    );
    tokens.asked.length = 0;
    const back = await own.images.pull({ reference: target, name: "back", platform });
    expect(back.digest).toBe(pushed.digest);
    expect(tokens.asked.map(({ scope }) => scope)).toEqual(["repository:team/app:pull"]);
  },
);

here("push survives a registry that is busy, and leaves nothing when it fails", async () => {
  await pushImage(await makeImage(), { host: registry.host, name: "team/app" }, ["latest"]);
  using own = openTestStore();
  const platform = "linux/amd64";
  await own.images.pull({ reference: `${registry.host}/team/app`, name: "app", platform });
  const digested = `${registry.host}/team/app@sha256:${"0".repeat(64)}`;
  expect((await bangerErrorOf(own.images.push("app", digested))).code).toBe("invalid_argument");
  await using dead = await startProxy(registry.host, {
    trouble: () => ({ kind: "answer", status: 503 }),
  });
  expect((await bangerErrorOf(own.images.push("app", `${dead.host}/a/b:c`))).code).toBe(
    "unavailable",
  );
  expect(dead.seen.length).toBeGreaterThan(1);
  expect(own.images.usage().reclaimable_bytes).toBe(0);
});

here("save replaces no folder, and a file only when told to", async () => {
  await pushImage(await makeImage(), { host: registry.host, name: "team/app" }, ["latest"]);
  using own = openTestStore();
  const platform = "linux/amd64";
  await own.images.pull({ reference: `${registry.host}/team/app`, name: "app", platform });
  const path = join(own.folder, "there");
  mkdirSync(path);
  const save = { name: "app", format: "oci", path } as const;
  await own.images.save(save);
  expect(existsSync(join(path, "oci-layout"))).toBe(true);
  expect((await bangerErrorOf(own.images.save({ ...save, force: true }))).code).toBe(
    "already_exists",
  );
  const file = join(own.folder, "there.tar");
  await own.images.save({ ...save, path: file });
  expect((await bangerErrorOf(own.images.save({ ...save, path: file }))).hint).toContain("--force");
  await own.images.save({ ...save, path: file, force: true });
  const nowhere = join(own.folder, "none", "x.tar");
  expect((await bangerErrorOf(own.images.save({ ...save, path: nowhere }))).code).toBe("not_found");
});
