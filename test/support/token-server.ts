/** A token server for docker-registry's `auth: token`: signs JWTs with its own certificate. */
import { createPrivateKey, sign, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const SERVICE = "test-registry";
const ISSUER = "test-issuer";

export interface TokenServer extends AsyncDisposable {
  /** The `auth` section of the registry's configuration. */
  readonly auth: Record<string, unknown>;
  /** What was asked: query and Authorization header. */
  readonly asked: { scope: string | null; service: string | null; authorization: string | null }[];
  /** A token for pushing. */
  pushAuthorization(name: string): string;
}

/** `folder`: a scratch folder for the key. `authorization`: what a client must send, if anything. */
export async function startTokenServer(
  folder: string,
  options: { authorization?: string } = {},
): Promise<TokenServer> {
  const keyPath = join(folder, "token.key");
  const certificatePath = join(folder, "token.crt");
  await makeCertificate(keyPath, certificatePath);
  const key = createPrivateKey(readFileSync(keyPath));
  const certificate = new X509Certificate(readFileSync(certificatePath));
  const asked: TokenServer["asked"] = [];

  function tokenFor(scope: string): string {
    const [type = "", name = "", actions = ""] = scope.split(":");
    const now = Math.floor(Date.now() / 1000);
    const header = { typ: "JWT", alg: "RS256", x5c: [certificate.raw.toString("base64")] };
    const claims = {
      iss: ISSUER,
      sub: "tester",
      aud: SERVICE,
      exp: now + 300,
      nbf: now - 60,
      iat: now - 60,
      jti: crypto.randomUUID(),
      access: [{ type, name, actions: actions.split(",") }],
    };
    const text = [header, claims].map((part) => encode(JSON.stringify(part))).join(".");
    return `${text}.${encode(sign("RSA-SHA256", Buffer.from(text), key))}`;
  }

  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const query = new URL(request.url).searchParams;
      const authorization = request.headers.get("authorization");
      const scope = query.get("scope");
      asked.push({ scope, service: query.get("service"), authorization });
      if (options.authorization && authorization !== options.authorization) {
        return new Response("no", { status: 401 });
      }
      return Response.json({ token: tokenFor(scope ?? ""), expires_in: 300 });
    },
  });
  return {
    auth: {
      token: {
        realm: `http://127.0.0.1:${server.port}/token`,
        service: SERVICE,
        issuer: ISSUER,
        rootcertbundle: certificatePath,
      },
    },
    asked,
    pushAuthorization: (name) => `Bearer ${tokenFor(`repository:${name}:pull,push`)}`,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
    },
  };
}

/** One that signs itself, for nobody in particular. */
export async function makeCertificate(key: string, certificate: string): Promise<void> {
  const argv =
    `openssl req -x509 -newkey rsa:2048 -nodes -keyout ${key} -out ${certificate} -subj /CN=test -days 2`.split(
      " ",
    );
  const child = Bun.spawn(argv, { stdout: "ignore", stderr: "pipe" });
  const [log, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (status !== 0) throw new Error(`openssl failed: ${log}`);
}

function encode(data: string | Uint8Array): string {
  return Buffer.from(data).toString("base64url");
}
