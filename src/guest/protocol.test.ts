/** protocol.ts is the one source of the protocol's constants: what is generated or repeated from it agrees. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import * as ssh from "#cli/ssh/link.ts";
import * as firecracker from "#vmm/firecracker/machine.ts";
import * as qemu from "#vmm/qemu/command.ts";
import { phases } from "./event.ts";
import * as protocol from "./protocol.ts";

const GUEST = join(import.meta.dir, "../../guest");

/** What the group of `pattern` matches in the agent's sources. */
function wordsOfAgent(pattern: RegExp): string[] {
  const files = [...new Bun.Glob("{base,wire,run,files,programs,boot}/*.{c,sh}").scanSync(GUEST)];
  const text = files.map((path) => readFileSync(join(GUEST, path), "utf8")).join("\n");
  const words = new Set([...text.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? ""));
  expect(words.size).toBeGreaterThan(3);
  return [...words];
}

test("guest/wire/protocol.h is up to date with scripts/protocol-header.ts", async () => {
  const script = join(import.meta.dir, "../../scripts/protocol-header.ts");
  const header = readFileSync(join(GUEST, "wire/protocol.h"), "utf8");
  expect(await runOk([process.execPath, script, "--print", "guest/wire/protocol.h"])).toBe(header);
});

test("the drivers and the ssh server, which may not import protocol.ts, have its values", () => {
  expect({ qemu: qemu.AGENT_PORT, firecracker: firecracker.AGENT_PORT }).toEqual({
    qemu: protocol.PORT_NAME,
    firecracker: protocol.VSOCK_PORT,
  });
  expect({ qemu: qemu.GOODBYE_PORT, firecracker: firecracker.GOODBYE_PORT }).toEqual({
    qemu: protocol.GOODBYE_PORT_NAME,
    firecracker: protocol.VSOCK_GOODBYE_PORT,
  });
  expect(ssh.AGENT_PATH).toBe(protocol.AGENT_PATH);
  expect(ssh.Type).toEqual(protocol.ListenRecord);
  expect(ssh.WINDOW_BYTES).toBe(protocol.LISTEN_WINDOW_BYTES);
  expect(ssh.MAX_DATA_BYTES).toBe(protocol.MAX_LISTEN_RECORD_BYTES);
  expect(protocol.Tag).toMatchObject(ssh.Tag);
});

test("the agent's error codes and phases are those that the host knows", () => {
  const codes = wordsOfAgent(
    /(?:reply_fail\(|_(?:fail|error)\(\w+, )"([a-z_]+)"|(?:return |[?:] )"([a-z]+_[a-z_]+)"/g,
  );
  expect(protocol.guestErrors).toEqual(expect.arrayContaining(codes));
  const reported = wordsOfAgent(
    /events_(?:record|phase|notify)\("(\w+)"|\bnotify (?:--log \S+ )?(\w+)/g,
  );
  expect(phases).toEqual(expect.arrayContaining(reported));
});
