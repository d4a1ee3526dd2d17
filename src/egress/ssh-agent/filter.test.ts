import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair, PassThrough } from "node:stream";
import type { Decision } from "#api/network.ts";
import { serveAgent } from "./filter.ts";
import { isSignedBy } from "./host-key.ts";
import { parseKnownHosts } from "./known-hosts.ts";
import { lengthAndBytes, Malformed, Message, messagesOf, Reader } from "./wire.ts";

const BIND = "session-bind@openssh.com";
const USER_KEY = Buffer.from("the user's key");
const strings = (...all: (Uint8Array | string)[]): Buffer =>
  Buffer.concat(all.map((each) => lengthAndBytes(each)));

interface HostKey {
  blob: Buffer;
  sign(text: Uint8Array): Buffer;
}

/** A number with a zero in front where its first bit is set. */
const mpint = (bytes: Buffer): Buffer => {
  const start = bytes.findIndex((byte) => byte !== 0);
  const digits = bytes.subarray(Math.max(0, start));
  return (digits[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits;
};

function part(key: KeyObject, name: "x" | "y" | "n" | "e"): Buffer {
  return Buffer.from(key.export({ format: "jwk" })[name] ?? "", "base64url");
}

function ed25519(): HostKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return {
    blob: strings("ssh-ed25519", part(publicKey, "x")),
    sign: (text) => strings("ssh-ed25519", sign(null, text, privateKey)),
  };
}

function ecdsa(curve: "256" | "384" | "521", hash: string): HostKey {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: `P-${curve}` });
  const point = Buffer.concat([Buffer.of(4), part(publicKey, "x"), part(publicKey, "y")]);
  const type = `ecdsa-sha2-nistp${curve}`;
  return {
    blob: strings(type, `nistp${curve}`, point),
    sign(text) {
      const both = sign(hash, text, { key: privateKey, dsaEncoding: "ieee-p1363" });
      const half = both.length / 2;
      return strings(type, strings(mpint(both.subarray(0, half)), mpint(both.subarray(half))));
    },
  };
}

function rsa(format: string, hash: string): HostKey {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    blob: strings("ssh-rsa", mpint(part(publicKey, "e")), mpint(part(publicKey, "n"))),
    sign: (text) => strings(format, sign(hash, text, privateKey)),
  };
}

const KINDS: [string, () => HostKey][] = [
  ["ed25519", ed25519],
  ["ecdsa P-256", () => ecdsa("256", "sha256")],
  ["ecdsa P-384", () => ecdsa("384", "sha384")],
  ["ecdsa P-521", () => ecdsa("521", "sha512")],
  ["rsa-sha2-256", () => rsa("rsa-sha2-256", "sha256")],
  ["rsa-sha2-512", () => rsa("rsa-sha2-512", "sha512")],
];

test.each(KINDS)("host keys sign sessions: %s", (_, make) => {
  const key = make();
  // Numbers of ECDSA have all lengths.
  for (let round = 0; round < 40; round++) {
    const text = randomBytes(32);
    const signature = key.sign(text);
    expect(isSignedBy(key.blob, text, signature)).toBe(true);
    expect(isSignedBy(key.blob, randomBytes(32), signature)).toBe(false);
    expect(isSignedBy(make === ed25519 ? ed25519().blob : USER_KEY, text, signature)).toBe(false);
    expect(isSignedBy(key.blob, text, signature.subarray(0, -1))).toBe(false);
    expect(isSignedBy(key.blob.subarray(0, -1), text, signature)).toBe(false);
  }
});

test("SHA-1, certificates and damaged keys verify nothing", () => {
  const text = randomBytes(32);
  const old = rsa("ssh-rsa", "sha1");
  expect(isSignedBy(old.blob, text, old.sign(text))).toBe(false);
  const key = ed25519();
  const signature = key.sign(text);
  const certificate = strings("ssh-ed25519-cert-v01@openssh.com", "nonce");
  for (const blob of [
    certificate,
    Buffer.alloc(0),
    Buffer.alloc(200),
    Buffer.of(255, 255, 255, 255),
  ])
    expect(isSignedBy(blob, text, signature)).toBe(false);
  expect(isSignedBy(strings("ssh-ed25519", Buffer.alloc(31)), text, signature)).toBe(false);
  expect(isSignedBy(strings("constructor", "x"), text, strings("constructor", "x"))).toBe(false);
});

test("known hosts: revoked keys and authorities are not keys of the host", () => {
  const keys = parseKnownHosts(`# Host example.com found: line 1
example.com ssh-ed25519 AAAA1 a comment
|1|salt=|hash= ssh-rsa AAAA2
@revoked example.com ssh-ed25519 AAAA3
@cert-authority example.com ssh-ed25519 AAAA4
example.com ssh-rsa AAAA3
broken`);
  expect([...keys]).toEqual(["AAAA1", "AAAA2"]);
});

test("messages are cut at their lengths, and have a limit", async () => {
  const stream = new PassThrough();
  const read = Array.fromAsync(messagesOf(stream));
  const bytes = strings("one", "", "two").subarray(0, 7);
  for (const byte of Buffer.concat([bytes, lengthAndBytes("two")])) stream.write(Buffer.of(byte));
  stream.end(Buffer.concat([lengthAndBytes("three"), lengthAndBytes("four")]));
  expect((await read).map(String)).toEqual(["one", "two", "three", "four"]);
  for (const length of [0, 256 * 1024 + 1, 0xffff_ffff]) {
    const long = new PassThrough();
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length);
    long.end(head);
    expect(Array.fromAsync(messagesOf(long))).rejects.toBeInstanceOf(Malformed);
  }
});

let folder: string;
let agent: Server;
/** What reached the user's agent. */
let reached: number[];
let decisions: Decision[];
let open: Socket[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-filter-"));
  reached = [];
  decisions = [];
  open = [];
  agent = createServer(async (socket) => {
    open.push(socket);
    for await (const message of messagesOf(socket)) {
      reached.push(message[0] ?? 0);
      const answers: Record<number, Buffer> = {
        [Message.requestIdentities]: Buffer.concat([
          Buffer.of(Message.identitiesAnswer, 0, 0, 0, 1),
          strings(USER_KEY, "comment"),
        ]),
        [Message.signRequest]: Buffer.concat([Buffer.of(Message.signResponse), strings("signed")]),
      };
      socket.write(lengthAndBytes(answers[message[0] ?? 0] ?? Buffer.of(Message.failure)));
    }
  });
  await new Promise<void>((resolve) => agent.listen(join(folder, "agent"), resolve));
});
afterEach(() => {
  for (const socket of open) socket.destroy();
  agent.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A client in a machine. */
function client(known: Record<string, HostKey>) {
  const [inside, outside] = duplexPair();
  const served = serveAgent(outside, {
    machineId: "m",
    hosts: Object.keys(known),
    socket: join(folder, "agent"),
    known: { keysOf: async (host) => new Set([known[host]?.blob.toString("base64") ?? ""]) },
    record: (decision) => decisions.push(decision),
  });
  const answers = messagesOf(inside);
  return {
    async ask(...parts: Uint8Array[]): Promise<number | undefined> {
      inside.write(lengthAndBytes(Buffer.concat(parts)));
      return (await answers.next()).value?.[0];
    },
    async end() {
      inside.end();
      await served;
    },
  };
}

const bind = (key: HostKey, session: Buffer, { text = session, forwarding = 0 } = {}): Buffer =>
  Buffer.concat([
    Buffer.of(Message.extension),
    strings(BIND, key.blob, session, key.sign(text)),
    Buffer.of(forwarding),
  ]);

function login(
  session: Buffer,
  {
    service = "ssh-connection",
    method = "publickey",
    key = USER_KEY,
    more = Buffer.alloc(0),
  }: { service?: string; method?: string; key?: Buffer; more?: Buffer } = {},
): Buffer {
  const data = Buffer.concat([
    strings(session),
    Buffer.of(50),
    strings("git", service, method),
    Buffer.of(1),
    strings("ssh-ed25519", key),
    more,
  ]);
  return signing(data);
}

const signing = (data: Uint8Array): Buffer =>
  Buffer.concat([Buffer.of(Message.signRequest), strings(USER_KEY, data), Buffer.alloc(4)]);

const reasons = (): string[] =>
  decisions.map(({ verdict, name, reason }) => [verdict, name, reason].filter(Boolean).join(" "));

test("a login to a named host is signed, and everything is logged", async () => {
  const key = ed25519();
  const session = randomBytes(32);
  const { ask, end } = client({ "git.test": key });
  expect(await ask(Buffer.of(Message.requestIdentities))).toBe(Message.identitiesAnswer);
  expect(await ask(bind(key, session))).toBe(Message.success);
  expect(await ask(login(session))).toBe(Message.signResponse);
  const method = "publickey-hostbound-v00@openssh.com";
  expect(await ask(login(session, { method, more: strings(key.blob) }))).toBe(Message.signResponse);
  await end();
  expect(reasons()).toEqual(Array(2).fill("allowed git.test signed a login"));
  // An agent that has keys with constraints of its own is told of the host.
  expect(reached).toEqual([11, 27, 13, 13]);
});

test("nothing else is signed", async () => {
  const key = ed25519();
  const session = randomBytes(32);
  const unbound = client({ "git.test": key });
  expect(await unbound.ask(login(session))).toBe(Message.failure);
  await unbound.end();
  const { ask, end } = client({ "git.test": key });
  expect(await ask(bind(key, session))).toBe(Message.success);
  const method = "publickey-hostbound-v00@openssh.com";
  const other = ed25519().blob;
  const refused = [
    login(randomBytes(32)),
    login(session, { key: Buffer.from("another key") }),
    login(session, { method, more: strings(other) }),
    login(session, { method }),
    login(session, { method: "password" }),
    login(session, { service: "ssh-userauth" }),
    login(session, { more: Buffer.of(0) }),
    signing(Buffer.concat([Buffer.from("SSHSIG"), strings("git", "", "sha512", randomBytes(64))])),
    signing(createHash("sha256").update("any").digest()),
    signing(Buffer.alloc(0)),
    Buffer.of(Message.signRequest),
  ];
  for (const each of refused) expect(await ask(each)).toBe(Message.failure);
  // The second host of a connection would make the first one's session the other's.
  expect(await ask(bind(key, randomBytes(32)))).toBe(Message.extensionFailure);
  expect(await ask(login(session))).toBe(Message.signResponse);
  await end();
  expect(reached.filter((type) => type === Message.signRequest)).toHaveLength(1);
  expect(decisions.filter(({ verdict }) => verdict === "denied")).toHaveLength(refused.length + 2);
  expect(reasons()[0]).toContain("has not named a host that is allowed");
});

test("a session counts only with the host's own signature", async () => {
  const [key, stranger] = [ed25519(), ecdsa("256", "sha256")];
  const session = randomBytes(32);
  const { ask, end } = client({ "git.test": key, "other.test": ed25519() });
  const forged = Buffer.concat([
    Buffer.of(Message.extension),
    strings(BIND, key.blob, session, stranger.sign(session)),
    Buffer.of(0),
  ]);
  const refused = [
    bind(stranger, session),
    bind(key, session, { text: randomBytes(32) }),
    bind(key, session, { forwarding: 1 }),
    forged,
  ];
  for (const each of refused) {
    expect(await ask(each)).toBe(Message.extensionFailure);
    expect(await ask(login(session))).toBe(Message.failure);
  }
  await end();
  expect(reached).toEqual([]);
  expect(reasons().filter((reason) => !reason.includes("has not named"))).toEqual([
    "denied the server's host key is not that of git.test, other.test in your known_hosts",
    "denied the host key's signature of the session cannot be verified",
    "denied the agent cannot be forwarded to another host",
    "denied the host key's signature of the session cannot be verified",
  ]);
});

test("keys cannot be added, removed or locked, and no card is used", async () => {
  const { ask, end } = client({ "git.test": ed25519() });
  for (const type of [1, 9, 17, 18, 19, 20, 21, 22, 23, 25, 26, 200]) {
    expect(await ask(Buffer.of(type), strings("x"))).toBe(Message.failure);
  }
  expect(await ask(Buffer.of(Message.extension), strings("query"))).toBe(Message.failure);
  expect(await ask(Buffer.of(Message.extension), strings(BIND))).toBe(Message.failure);
  await end();
  expect(reached).toEqual([]);
  expect(decisions).toHaveLength(13);
});

test("an agent that has gone signs nothing, and does not hang", async () => {
  const key = ed25519();
  const session = randomBytes(32);
  const { ask, end } = client({ "git.test": key });
  agent.close();
  rmSync(join(folder, "agent"), { force: true });
  expect(await ask(Buffer.of(Message.requestIdentities))).toBe(Message.failure);
  expect(await ask(bind(key, session))).toBe(Message.failure);
  expect(await ask(login(session))).toBe(Message.failure);
  await end();
  expect(reasons()[0]).toContain("is not a socket");
});

test("a reader gives back nothing beyond its bytes", () => {
  const reader = new Reader(Buffer.from([0, 0, 0, 9, 1]));
  expect(() => reader.string()).toThrow(Malformed);
  expect(() => new Reader(Buffer.alloc(3)).u32()).toThrow(Malformed);
});
