/** COPY of a file with capabilities, which only root can set. */
import { expect } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openExt4 } from "#ext4/read/reader.ts";
import { openTestStore } from "#test/image-store.ts";
import { testNeeding } from "#test/needs.ts";

testNeeding("root", "setcap")("capabilities of a program come along with it", async () => {
  using store = openTestStore();
  const context = join(store.folder, "context");
  mkdirSync(context);
  for (const name of ["with", "without"]) {
    writeFileSync(join(context, name), name);
    chmodSync(join(context, name), 0o755);
  }
  const set = Bun.spawnSync(["setcap", "cap_net_bind_service=ep", join(context, "with")]);
  expect(set.exitCode).toBe(0);
  const dockerfile = "FROM scratch AS s\nCOPY . /d/\nFROM scratch\nCOPY --from=s /d/ /e/\n";
  const image = await store.builds.build({ name: "made", dockerfile, context });
  using reader = openExt4(image.rootfs);
  const [attribute, ...more] = reader.xattrs(reader.stat("/e/with"));
  expect(Buffer.from(attribute?.name ?? []).toString()).toBe("security.capability");
  // Version 2 with the effective bit, and the tenth capability permitted.
  expect(Buffer.from(attribute?.value ?? []).toString("hex")).toStartWith("0100000200040000");
  expect(more).toEqual([]);
  expect(reader.xattrs(reader.stat("/e/without"))).toEqual([]);
});
