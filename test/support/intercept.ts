/** A machine's secrets before a real server on loopback: for tests of src/egress/intercept. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import * as http2 from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthority } from "#egress/intercept/certificates.ts";
import { SecretInterceptor } from "#egress/intercept/intercept.ts";
import type { EgressDecision } from "#egress/intercept/interceptor.ts";
import type { MachineSecret, SecretSource } from "#egress/secrets/secret.ts";
import { type GateOptions, guestConnection } from "./guest-connection.ts";

export const HOST = "api.test";
export const PLACEHOLDER = "banger_placeholder_0123456789abcdef";
export const VALUE = "s3cr3t-value/with+signs=";

/** Requests as the server got them. */
export interface Seen {
  version: string;
  method: string;
  path: string;
  headers: http2.IncomingHttpHeaders;
  body: Buffer;
}

export interface SiteOptions {
  secret?: Partial<MachineSecret>;
  /** Of all secrets. */
  value?: string;
  others?: MachineSecret[];
  answer?: (request: Seen, response: http2.Http2ServerResponse) => void;
  /** What the server's certificate is for, and how it is signed. */
  certificate?: { cert: string; key: string };
  /** What the proxy trusts, in place of the authority of the certificate. */
  roots?: string | undefined;
  idle_max_ms?: number;
  /** Without TLS towards the server too. */
  gate?: Partial<GateOptions>;
}

const KEY = Buffer.alloc(32, 7);

export class Site {
  readonly seen: Seen[] = [];
  readonly decisions: EgressDecision[] = [];
  readonly folder = mkdtempSync(join(tmpdir(), "banger-intercept-"));
  readonly server: http2.Http2SecureServer;
  readonly interceptor: SecretInterceptor;
  readonly #proxy: Server;
  readonly #sockets = new Set<Socket>();
  readonly #gate: Partial<GateOptions>;
  /** Of the machine, for its clients. */
  readonly caPath = join(this.folder, "ca.pem");
  port = 0;
  serverPort = 0;

  private constructor(
    { secret, value = VALUE, others = [], answer, idle_max_ms, gate = {} }: SiteOptions,
    certificate: { cert: string; key: string },
    roots: string,
  ) {
    const secrets: MachineSecret[] = [
      { name: "TOKEN", hosts: [HOST], placeholder: PLACEHOLDER, ...secret },
      ...others,
    ];
    const source: SecretSource = {
      of: () => secrets,
      value: async () => value,
      known: () => [value],
      lineage: () => "test",
    };
    const rootsPath = join(this.folder, "roots.pem");
    writeFileSync(rootsPath, roots);
    this.#gate = gate;
    this.interceptor = new SecretInterceptor(source, {
      key: () => KEY,
      roots: rootsPath,
      idle_max_ms,
    });
    this.server = http2.createSecureServer(
      { ...certificate, allowHTTP1: true },
      (request, response) => {
        const chunks: Buffer[] = [];
        request.on("data", (chunk: Buffer) => chunks.push(chunk));
        request.on("error", () => {});
        let isReset = false;
        request.on("aborted", () => {
          isReset = true;
        });
        request.on("end", async () => {
          await new Promise((resolve) => setImmediate(resolve));
          if (isReset) return;
          const { httpVersion: version, method, url: path, headers } = request;
          const seen = { version, method, path, headers, body: Buffer.concat(chunks) };
          this.seen.push(seen);
          if (answer) answer(seen, response);
          else response.end(`${version} ${method} ${path} ${seen.body.length}`);
        });
      },
    );
    this.#proxy = createServer({ pauseOnConnect: true }, (socket) => void this.#take(socket));
  }

  static async open(options: SiteOptions = {}): Promise<Site> {
    const real = await makeAuthority(Buffer.alloc(32, 9), "the real world");
    const certificate = options.certificate ?? (await real.leaf(HOST));
    const site = new Site(options, certificate, options.roots ?? real.certificate);
    writeFileSync(site.caPath, await site.interceptor.certificate("test"));
    site.serverPort = await listening(site.server);
    site.port = await listening(site.#proxy);
    return site;
  }

  async #take(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    const head = await new Promise<Buffer>((resolve) => {
      socket.once("data", (data: Buffer) => {
        socket.pause();
        resolve(data);
      });
      socket.once("close", () => resolve(Buffer.alloc(0)));
      socket.resume();
    });
    if (head.length === 0) return;
    const gate = { host: HOST, serverPort: this.serverPort, ...this.#gate };
    const connection = guestConnection({ socket, head }, gate);
    await this.interceptor.take({
      ...connection,
      log: (decision) => this.decisions.push(decision),
    });
  }

  /** As a program of the machine: output, and what curl says on failure. */
  async curl(
    ...args: string[]
  ): Promise<{ status: number; body: string; headers: string; code: number }> {
    const url = args.findLast((each) => /^https?:/.test(each)) ?? `https://${HOST}/`;
    const others = args.filter((each) => each !== url);
    const to = ["--connect-to", `::127.0.0.1:${this.port}`, "--cacert", this.caPath];
    const argv = ["curl", "-s", "-i", "--max-time", "60", ...to, ...others, url];
    const child = Bun.spawn(argv, { stdout: "pipe", stderr: "pipe", stdin: "ignore" });
    const text = await new Response(child.stdout).text();
    const code = await child.exited;
    const at = text.lastIndexOf("\r\n\r\n", text.indexOf("\r\n\r\n"));
    const headers = text.slice(0, at);
    return {
      status: Number(/^HTTP\/\S+ (\d+)/.exec(text)?.[1] ?? 0),
      headers,
      body: text.slice(at + 4),
      code,
    };
  }

  /** Everything that the server was sent, as far as it made requests of it. */
  get received(): string {
    return this.seen
      .map(
        ({ path, headers, body }) =>
          `${path}\n${JSON.stringify(headers)}\n${body.toString("latin1")}`,
      )
      .join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#proxy.close();
    this.server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A certificate that is its own authority, valid since 2020. */
export async function selfSigned(host: string, { until = "2049-12-31" } = {}) {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [host] }],
    notBefore: new Date("2020-01-01"),
    notAfter: new Date(until),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: host }])],
  });
  const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  return {
    cert: `${certificate.toString("pem")}\n`,
    key: `-----BEGIN PRIVATE KEY-----\n${key.toString("base64")}\n-----END PRIVATE KEY-----\n`,
  };
}

async function listening(server: Server | http2.Http2SecureServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not on TCP");
  return address.port;
}
