/** The bytes that both sides agree on: guest/test/ reads the same file. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type BootRecord, decodeBootRecord, encodeBootRecord } from "./boot.ts";
import { Fields, FieldWriter } from "./fields.ts";
import { encodeFrame, encodeSync, type Frame, FrameParser } from "./frame.ts";
import { decodeHello } from "./hello.ts";
import {
  CHANNEL_ERR,
  FrameType,
  Kind,
  NONCE_BYTES,
  PROTOCOL,
  SYNC_PADDING_BYTES,
  Tag,
} from "./protocol.ts";

const nonce = Uint8Array.from({ length: NONCE_BYTES }, (_, index) => index + 1);

const goldenRecord: BootRecord = {
  mode: "systemd",
  hostname: "testbox",
  rootfs: { kind: "overlay" },
  machineId: "0123456789abcdef0123456789abcdef",
  time_unix_ns: 1_795_221_192_825_927_837n,
  entropySeed: Uint8Array.from([1, 2, 3, 4]),
  modules: ["/lib/banger/virtio_mmio.ko.xz", "/lib/banger/virtio_blk.ko.xz"],
  env: { LANG: "C.UTF-8", EMPTY: "", SUM: "1+1=2" },
  authorizedKeys: ["ssh-ed25519 AAAA ann"],
  sshHostKey: "-----BEGIN OPENSSH PRIVATE KEY-----\nAA==\n-----END OPENSSH PRIVATE KEY-----\n",
  hosts: [{ address: "10.0.2.2", name: "host.banger" }],
  searchDomain: "vm",
  network: {
    mac: "52:54:00:12:34:56",
    address: "10.0.2.15/24",
    gateway: "10.0.2.2",
    dns: ["10.0.2.3", "9.9.9.9"],
    mtu: 1400,
  },
};

function execFields(): FieldWriter {
  return new FieldWriter()
    .number(Tag.kind, Kind.exec)
    .number(Tag.window, 65_536)
    .text(Tag.argument, "echo")
    .text(Tag.argument, "käse")
    .text(Tag.env, "A=b")
    .text(Tag.cwd, "/tmp")
    .text(Tag.user, "1000:27")
    .bytes(Tag.terminal, Uint8Array.from([120, 0, 40, 0]));
}

function helloPayload(): Uint8Array {
  const fields = new FieldWriter()
    .number(Tag.protocol, PROTOCOL)
    .text(Tag.version, "1.2.3")
    .text(Tag.bootId, "b")
    .text(Tag.mode, "direct")
    .number(Tag.maxStreams, 64)
    .text(Tag.feature, "exec");
  return Uint8Array.from([...nonce, ...fields.finish()]);
}

/** Everything that the golden file holds, as this side writes it. */
const written: Record<string, Uint8Array> = {
  sync: encodeSync(nonce).subarray(SYNC_PADDING_BYTES),
  hello: encodeFrame(FrameType.hello, { payload: helloPayload() }),
  open: encodeFrame(FrameType.open, { stream: 1, payload: execFields().finish() }),
  data: encodeFrame(FrameType.data, {
    stream: 0x01020305,
    flags: CHANNEL_ERR,
    payload: new TextEncoder().encode("out\n"),
  }),
  eof: encodeFrame(FrameType.eof, { stream: 3 }),
  credit: encodeFrame(FrameType.credit, { stream: 3, payload: Uint8Array.from([0, 0, 1, 0]) }),
  close: encodeFrame(FrameType.close, {
    stream: 3,
    payload: new FieldWriter().number(Tag.exitCode, 3).finish(),
  }),
  boot: encodeBootRecord(goldenRecord),
};

const golden = readGolden();

function readGolden(): Record<string, Uint8Array> {
  const text = readFileSync(join(import.meta.dir, "../../guest/golden.hex"), "utf8");
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    lines.map((line) => {
      const [name = "", hex = ""] = line.split(" ");
      return [name, Uint8Array.fromHex(hex)];
    }),
  );
}

test("this side writes the golden bytes", () => {
  expect(Object.keys(golden)).toEqual(Object.keys(written));
  for (const [name, bytes] of Object.entries(written)) {
    expect([name, bytes.toHex()]).toEqual([name, golden[name]?.toHex() ?? ""]);
  }
});

function parseOne(name: string): Frame {
  const frames: Frame[] = [];
  new FrameParser().push(golden[name] ?? new Uint8Array(0), (frame) => frames.push(frame));
  const [frame] = frames;
  if (!frame || frames.length !== 1) throw new Error(`"${name}" is not one frame`);
  return frame;
}

test("this side reads the golden frames", () => {
  expect(decodeHello(parseOne("hello").payload)).toEqual({
    protocol: 1,
    version: "1.2.3",
    bootId: "b",
    mode: "direct",
    maxStreams: 64,
    isTemplate: false,
    features: ["exec"],
  });
  const data = parseOne("data");
  expect([data.stream, data.flags, Buffer.from(data.payload).toString()]).toEqual([
    0x01020305,
    CHANNEL_ERR,
    "out\n",
  ]);
  expect(Fields.parse(parseOne("close").payload).number(Tag.exitCode)).toBe(3);
  expect(Fields.parse(parseOne("open").payload).texts(Tag.argument)).toEqual(["echo", "käse"]);
});

test("the golden boot record comes back as it was", () => {
  expect(decodeBootRecord(golden["boot"] ?? new Uint8Array(0))).toEqual(goldenRecord);
});
