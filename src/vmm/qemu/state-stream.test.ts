import { expect, test } from "bun:test";
import { stateStream } from "./state-stream.ts";

test("the machine's name and the firmware's memory come before the devices", () => {
  const devices = Buffer.from("QEVM\0\0\0\x03the devices", "latin1");
  const firmware = { name: "pc.bios", bytes: Buffer.alloc(8192, "f") };
  const page = (offset: string) => `${"00".repeat(6)}${offset}07${hex("pc.bios")}`;
  const wanted = [
    hex("QEVM"),
    "00000003",
    `0700000007${hex("microvm")}`,
    `017fffffff03${hex("ram")}0000000000000004`,
    `0000000000002004 07${hex("pc.bios")} 0000000000002000`,
    `${page("0008")}${hex("f".repeat(4096))}`,
    `${page("1008")}${hex("f".repeat(4096))}`,
    "0000000000000010 7e7fffffff",
    hex("the devices"),
  ];
  const stream = Buffer.from(stateStream(devices, firmware)).toString("hex");
  expect(stream).toBe(wanted.join("").replaceAll(" ", ""));
});

test("what does not begin like a stream of QEMU's is refused", () => {
  const firmware = { name: "pc.bios", bytes: new Uint8Array(4096) };
  expect(() => stateStream(Buffer.from("QEVM\0\0\0\x04"), firmware)).toThrow("unexpected state");
  expect(() => stateStream(new Uint8Array(), firmware)).toThrow("unexpected state");
});

function hex(text: string): string {
  return Buffer.from(text, "latin1").toString("hex");
}
