/** protocol.ts is the one source of the protocol's constants: what is generated or repeated from it agrees. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import * as ssh from "#cli/ssh/link.ts";
import * as firecracker from "#vmm/firecracker/machine.ts";
import * as qemu from "#vmm/qemu/command.ts";
import * as protocol from "./protocol.ts";

test("guest/wire/protocol.h is up to date with scripts/protocol-header.ts", async () => {
  const script = join(import.meta.dir, "../../scripts/protocol-header.ts");
  const header = readFileSync(join(import.meta.dir, "../../guest/wire/protocol.h"), "utf8");
  expect(await runOk([process.execPath, script, "--print"])).toBe(header);
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
