/** Decides on one request, whichever version of HTTP it came in: what is put in, and what is refused. */
import { isFor, type MachineSecret, type SecretSource } from "#egress/secrets/secret.ts";
import { formsOf } from "./forms.ts";
import type { GuestConnection } from "./interceptor.ts";
import { Refused } from "./refused.ts";
import { type Rule, replaceAll } from "./replacer.ts";

/** Names in lower case, in the order in which they came. */
export type Headers = [name: string, value: string][];

export interface Request {
  authority: string;
  method: string;
  /** With its query. */
  path: string;
  headers: Headers;
}

export interface Exchange {
  path: string;
  headers: Headers;
  /** For the body of the request. */
  bodyRules: Rule[];
  /** Whether the body may be longer or shorter than it came. */
  changesBody: boolean;
}

/** Where in a request a placeholder may be. */
interface Place {
  place: string;
  isAllowed: (secret: MachineSecret) => boolean;
  escaped?: (value: string) => string;
  /** The secrets that were put in are added. */
  used: MachineSecret[];
}

/** Headers that ask for an answer in another form than whole and plain. */
const UNSEARCHABLE: ReadonlySet<string> = new Set(["accept-encoding", "range", "if-range"]);
const PARTIAL_CONTENT = 206;
const MASK = "*".charCodeAt(0);
const BASIC = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i;

/** One connection of a machine to one host. */
export class Exchanges {
  readonly #connection: GuestConnection;
  readonly #source: SecretSource;
  readonly #secrets: readonly MachineSecret[];
  readonly #isEncrypted: boolean;

  constructor(
    connection: GuestConnection,
    { source, isEncrypted }: { source: SecretSource; isEncrypted: boolean },
  ) {
    this.#connection = connection;
    this.#source = source;
    this.#isEncrypted = isEncrypted;
    this.#secrets = source.of(connection.machineId);
  }

  get connection(): GuestConnection {
    return this.#connection;
  }

  /** Throws Refused when the request must not go out. */
  async open(request: Request): Promise<Exchange> {
    this.#admit(request.authority);
    const { method, path } = request;
    if (method.toUpperCase() === "CONNECT")
      throw new Refused("CONNECT is not passed on", { status: 405 });
    if (!path.startsWith("/") && path !== "*") {
      throw new Refused(`the target of the request is not a path`, { status: 400 });
    }
    const headers: Headers = [];
    const used: MachineSecret[] = [];
    for (const [name, value] of request.headers) {
      this.#refuseIn(name, "the name of a header");
      headers.push([name, await this.#header([name, value], used)]);
    }
    // What comes back compressed, or in parts that cut a value in two, could not be searched as it is.
    const answerable = headers.filter(([name]) => !UNSEARCHABLE.has(name));
    answerable.push(["accept-encoding", "identity"]);
    const type = request.headers.find(([name]) => name === "content-type")?.[1] ?? "";
    const bodyRules = await this.#bodyRules(type);
    const opened = { path: await this.#path(path, used), headers: answerable, ...bodyRules };
    // Only now does the request go out.
    for (const secret of used) this.#logPut(secret);
    return opened;
  }

  /** For a line or a name that no secret may be in. */
  refuseIn(text: string, place: string): void {
    this.#refuseIn(text, place);
  }

  /** For the bytes of a connection that was upgraded. */
  refusals(place: string): Rule[] {
    return this.#secrets.flatMap((secret) => this.#refusal(secret, place));
  }

  /** What an answer is searched for: asterisks of the same length are put in its place. */
  cleaning(): Rule[] {
    const { machineId } = this.#connection;
    const values = this.#source.known(
      machineId,
      this.#secrets.map(({ name }) => name),
    );
    const forms = new Map(values.flatMap(formsOf).map((form) => [form.toString("latin1"), form]));
    return [...forms.values()].map((find) => ({
      find,
      replace: (found) => Buffer.alloc(found.length, MASK),
    }));
  }

  /** A part of an answer can have half a value, and the next request asks for the other. */
  refusePart(status: number | undefined): void {
    if (status !== PARTIAL_CONTENT) return;
    throw new Refused("the server sent a part of the answer, which cannot be searched", {
      status: 502,
    });
  }

  cleanHeaders(headers: Headers, rules: readonly Rule[]): Headers {
    // Names are in lower case here, whatever case they came in.
    const forms = rules.map(({ find }) => Buffer.from(find).toString("latin1").toLowerCase());
    const kept = headers.filter(
      // Another way to the same host would not come through here.
      ([name]) => name !== "alt-svc" && !forms.some((form) => name.includes(form)),
    );
    return kept.map(([name, value]) => [name, this.cleanText(value, rules)]);
  }

  cleanText(text: string, rules: readonly Rule[]): string {
    return replaceAll(rules, Buffer.from(text, "latin1")).toString("latin1");
  }

  #admit(authority: string): void {
    const { host, port } = this.#connection;
    try {
      this.#connection.admit(authority);
    } catch (error) {
      throw new Refused(error instanceof Error ? error.message : String(error), { status: 421 });
    }
    const name = authority.toLowerCase();
    if (name === host || name === `${host}:${port}`) return;
    throw new Refused(`the request is for ${authority}, and the connection for ${host}`, {
      status: 421,
    });
  }

  async #header([name, value]: Headers[number], used: MachineSecret[]): Promise<string> {
    const basic = name === "authorization" ? BASIC.exec(value)?.[1] : undefined;
    if (basic !== undefined) {
      const decoded = Buffer.from(basic, "base64").toString("utf8");
      const replaced = await this.#replaced(decoded, {
        place: "Authorization",
        isAllowed: () => true,
        used,
      });
      return replaced === decoded ? this.#unchanged(value, name) : `Basic ${base64(replaced)}`;
    }
    const place = name === "authorization" ? "Authorization" : `header ${name}`;
    return await this.#replaced(value, {
      place,
      isAllowed: ({ headers }) => name === "authorization" || headers?.includes(name) === true,
      used,
    });
  }

  #unchanged(value: string, name: string): string {
    this.#refuseIn(value, `header ${name}`);
    return value;
  }

  async #path(path: string, used: MachineSecret[]): Promise<string> {
    const at = path.indexOf("?");
    const before = at < 0 ? path : path.slice(0, at);
    this.#refuseIn(before, "the path");
    if (at < 0) return path;
    const query = path.slice(at + 1);
    const replaced = await this.#replaced(query, {
      place: "the query",
      isAllowed: ({ inQuery }) => inQuery === true,
      escaped: encodeURIComponent,
      used,
    });
    return `${before}?${replaced}`;
  }

  async #bodyRules(type: string): Promise<Pick<Exchange, "bodyRules" | "changesBody">> {
    const rules: Rule[] = [];
    let changesBody = false;
    for (const secret of this.#secrets) {
      const [plain, ...others] = formsOf(secret.placeholder);
      const refusal = this.#refusal(secret, "the body");
      if (!secret.inBody || !this.#isHere(secret) || !plain) {
        rules.push(...refusal);
        continue;
      }
      const value = Buffer.from(escapedFor(type, await this.#value(secret)));
      changesBody = true;
      rules.push({
        find: plain,
        replace: () => {
          this.#logPut(secret);
          return value;
        },
      });
      rules.push(...refusal.filter(({ find }) => others.some((other) => other.equals(find))));
    }
    return { bodyRules: rules, changesBody };
  }

  /** The text with the values of the secrets that are allowed there; every other placeholder in it is refused. */
  async #replaced(text: string, { place, isAllowed, escaped, used }: Place): Promise<string> {
    const found = this.#secrets.filter(({ placeholder }) => text.includes(placeholder));
    let rest = text;
    for (const secret of found) {
      if (!this.#isHere(secret) || !isAllowed(secret)) throw this.#refused(secret, place);
      rest = rest.replaceAll(secret.placeholder, "\n");
    }
    this.#refuseIn(rest, place);
    let replaced = text;
    for (const secret of found) {
      const value = await this.#value(secret);
      replaced = replaced.replaceAll(secret.placeholder, () => escaped?.(value) ?? value);
      used.push(secret);
    }
    return replaced;
  }

  #logPut({ name }: MachineSecret): void {
    this.#connection.log({ verdict: "allow", reason: "put in", secret: name });
  }

  async #value({ name }: MachineSecret): Promise<string> {
    const { machineId, signal } = this.#connection;
    try {
      return await this.#source.value(machineId, name, signal);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Refused(reason, { status: 502, secret: name });
    }
  }

  #isHere(secret: MachineSecret): boolean {
    const { host, port } = this.#connection;
    return this.#isEncrypted && isFor(secret, host, port);
  }

  #refuseIn(text: string, place: string): void {
    const texts = [text, percentDecoded(text)];
    for (const secret of this.#secrets) {
      const forms = formsOf(secret.placeholder).map((form) => form.toString("latin1"));
      if (texts.some((each) => forms.some((form) => each.includes(form)))) {
        throw this.#refused(secret, place);
      }
    }
  }

  #refusal(secret: MachineSecret, place: string): Rule[] {
    return formsOf(secret.placeholder).map((find) => ({
      find,
      replace: () => {
        throw this.#refused(secret, place);
      },
    }));
  }

  #refused(secret: MachineSecret, place: string): Refused {
    const { host, port } = this.#connection;
    const why = !this.#isEncrypted
      ? `secret ${secret.name} is not sent without TLS`
      : this.#isHere(secret)
        ? `secret ${secret.name} is not allowed in ${place}`
        : `secret ${secret.name} is not for ${host}:${port}`;
    return new Refused(why, { secret: secret.name });
  }
}

/** As it is where its codes make no sense. */
function percentDecoded(text: string): string {
  if (!text.includes("%")) return text;
  return text.replaceAll(/%([0-9a-f]{2})/gi, (_, code) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

/** So that the value is one value in the body, whatever characters it has. */
function escapedFor(type: string, value: string): string {
  if (/json\b/i.test(type)) return JSON.stringify(value).slice(1, -1);
  if (/^application\/x-www-form-urlencoded\b/i.test(type)) return encodeURIComponent(value);
  return value;
}
