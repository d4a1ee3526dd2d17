/**
 * Authorization for one repository: none at first, then what the challenge of a 401 requires. Bearer tokens come from
 * the token server (distribution/spec/auth), anonymously or with the user's login; Basic sends the login.
 */
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { discard, readCapped } from "#http/body.ts";
import { statusFailure } from "#http/failure.ts";
import { isListed } from "#http/reach.ts";
import { type Answer, networkFailure, type Request, send } from "#http/transport.ts";
import { parseDocument } from "#oci/document.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import { type Credential, findCredential } from "./credentials.ts";
import { type Endpoint, isLoopback } from "./endpoint.ts";

const MAX_TOKEN_BYTES = 1 * MiB;
const CLIENT_ID = "banger";

export interface AuthorizerOptions {
  repository: string;
  /** Actions that a token must permit. Default "pull". */
  actions?: "pull" | "pull,push" | undefined;
  dockerConfigPath?: string | undefined;
  insecureRegistries?: readonly string[] | undefined;
}

export interface Authorizer {
  /** Sends the request with the current authorization, and again after a 401 whose challenge can be answered. */
  send(request: Request): Promise<Answer>;
  /** The hint for a denied request. */
  hint(): string;
}

const tokenSchema = z.object({ token: z.string().nullish(), access_token: z.string().nullish() });

export function createAuthorizer(endpoint: Endpoint, options: AuthorizerOptions): Authorizer {
  let current: string | undefined;
  let problem: string | undefined;
  let isLoggedIn = false;

  async function renew(header: string, signal: AbortSignal): Promise<string | undefined> {
    const challenges = parseChallenges(header);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    const basic = challenges.find(({ scheme }) => scheme === "basic");
    if (!bearer && !basic) return undefined;
    const { dockerConfigPath, repository, actions = "pull", insecureRegistries: trusted } = options;
    const found = await findCredential(endpoint.host, { dockerConfigPath, signal });
    problem = found.problem;
    isLoggedIn = found.credential !== undefined;
    if (bearer) {
      return bearerHeader(bearer, { endpoint, repository, actions, trusted, signal, ...found });
    }
    return found.credential?.kind === "password" ? basicHeader(found.credential) : undefined;
  }

  return {
    async send(request) {
      const used = current;
      const trusted = options.insecureRegistries;
      const first = await send({ ...request, trusted, authorization: used });
      // A challenge from a redirect's target is not this registry's and is ignored.
      if (first.response.status !== 401 || first.isRedirected) return first;
      if (current === used) {
        const header = first.response.headers.get("www-authenticate") ?? "";
        const renewed = await renew(header, request.signal);
        if (renewed === undefined) return first;
        current = renewed;
      }
      await discard(first.response);
      return send({ ...request, trusted, authorization: current });
    },
    hint() {
      const login = `docker login${endpoint.host === "docker.io" ? "" : ` ${endpoint.host}`}`;
      const advice = isLoggedIn
        ? `Check the name, and that your account can ${options.actions ? "push" : "pull"} it; to log in again: "${login}"`
        : `Check the name, or log in with "${login}" (banger reads docker's config.json)`;
      return problem ? `${advice}. ${problem}` : advice;
    },
  };
}

interface TokenOptions {
  endpoint: Endpoint;
  repository: string;
  actions: string;
  trusted: readonly string[] | undefined;
  credential?: Credential;
  signal: AbortSignal;
}

async function bearerHeader(challenge: Challenge, options: TokenOptions): Promise<string> {
  const { credential } = options;
  const token =
    credential?.kind === "bearer" ? credential.token : await fetchToken(challenge, options);
  // The token becomes a header value.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new BangerError(
      "unauthorized",
      `Cannot log in to "${options.endpoint.host}": the token is malformed`,
    );
  }
  return `Bearer ${token}`;
}

async function fetchToken(challenge: Challenge, options: TokenOptions): Promise<string> {
  const { endpoint, credential, trusted, signal } = options;
  const realm = checkRealm(challenge.params.get("realm"), options);
  const query = new URLSearchParams({ scope: scopeOf(challenge, options) });
  const service = challenge.params.get("service");
  if (service !== undefined) query.set("service", service);
  const { response } = await send({
    ...tokenRequest(realm, { query, credential, signal }),
    home: endpoint.base,
    trusted,
  });
  if (!response.ok) {
    throw await statusFailure(response, {
      action: `log in to "${endpoint.host}"`,
      host: realm.host,
      hint:
        response.status === 401 || response.status === 403
          ? `Log in again with: docker login ${endpoint.host}`
          : undefined,
    });
  }
  const what = `the token from "${realm.host}"`;
  const body = await readToken(response, realm, signal);
  const answer = parseDocument(body, tokenSchema, what);
  const token = answer.token || answer.access_token;
  if (!token) throw new BangerError("unauthorized", `Cannot read ${what}: there is none`);
  return token;
}

async function readToken(response: Response, realm: URL, signal: AbortSignal): Promise<Uint8Array> {
  try {
    return await readCapped(response, MAX_TOKEN_BYTES);
  } catch (error) {
    throw networkFailure(error, realm, signal);
  }
}

function tokenRequest(
  realm: URL,
  options: { query: URLSearchParams; credential: Credential | undefined; signal: AbortSignal },
): Request {
  const { query, credential, signal } = options;
  if (credential?.kind === "refresh") {
    query.set("grant_type", "refresh_token");
    query.set("client_id", CLIENT_ID);
    query.set("refresh_token", credential.token);
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    return { url: realm, method: "POST", headers, body: query.toString(), signal };
  }
  const url = new URL(realm);
  for (const [name, value] of query) url.searchParams.set(name, value);
  const authorization = credential?.kind === "password" ? basicHeader(credential) : undefined;
  return { url, authorization, signal };
}

/**
 * The token server gets the user's login, so it must use TLS, unless it is on the registry's own plain HTTP host, on
 * loopback like the registry, or in the list of insecure registries.
 */
function checkRealm(realm: string | undefined, { endpoint, trusted = [] }: TokenOptions): URL {
  const url = realm !== undefined && URL.canParse(realm) ? new URL(realm) : undefined;
  const isSafe = url?.protocol === "https:";
  const isAsPlain =
    url?.protocol === "http:" &&
    endpoint.base.protocol === "http:" &&
    (url.hostname === endpoint.base.hostname ||
      (isLoopback(url) && isLoopback(endpoint.base)) ||
      isListed(url, trusted));
  if (url && (isSafe || isAsPlain) && !url.username && !url.password) return url;
  const isPlain = url?.protocol === "http:";
  throw new BangerError(
    "unauthorized",
    `Cannot log in to "${endpoint.host}": ${isPlain ? `token server "${url.host}" uses plain HTTP` : "no usable token server"}`,
    isPlain ? { hint: `If you trust the network, add "${url.host}" to registry.insecure` } : {},
  );
}

/** The scope of the challenge if it is exactly what is needed, else the needed scope. */
function scopeOf(challenge: Challenge, { repository, actions }: TokenOptions): string {
  const asked = challenge.params.get("scope") ?? "";
  const isEnough = /^repository:\S+:pull$/.test(asked) && actions === "pull";
  return isEnough ? asked : `repository:${repository}:${actions}`;
}

function basicHeader(credential: Extract<Credential, { kind: "password" }>): string {
  const pair = `${credential.username}:${credential.password}`;
  return `Basic ${Buffer.from(pair, "utf8").toString("base64")}`;
}
