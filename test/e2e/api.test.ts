/** The daemon keeps to its own OpenAPI document, whatever it is sent. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Installation, install } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

interface Schema {
  type?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  format?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  contentMediaType?: string;
  contentSchema?: Schema;
}

interface Operation {
  method: string;
  path: string;
  parameters: { name: string; in: string; schema: Schema }[];
  body: Schema | undefined;
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
}

interface Call {
  what: string;
  params: Record<string, string>;
  query?: Record<string, string>;
  body?: string;
  type?: string;
  /** Only refusal will do. */
  mustFail: boolean;
}

/** Of no effect without input, or known to do much with none. */
const NOT_CALLED_EMPTY = [
  "/system/shutdown",
  "/images/bootstrap",
  "/system/events",
  "/system/usage",
  "/serve",
];
/** Values that no field takes, one of each kind. */
const WRONG = [null, true, 12.5, -1, "", "\0", ["x"], { x: 1 }, "x".repeat(70_000)];
/** Paths that the host's file system refuses, each in its own way. */
const BAD_PATHS = ["/etc/passwd/x", `/${"n".repeat(300)}`, "/proc/self/cwd\0", "/nope/nope"];

let banger: Installation;
let operations: Operation[];

beforeAll(async () => {
  banger = install();
  await banger.ok("vm", "list");
  const document = (await (await request("/openapi.json")).json()) as {
    paths: Record<string, Record<string, Record<string, unknown>>>;
  };
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => toOperation(path, method, described)),
  );
});
afterAll(async () => {
  await banger[Symbol.asyncDispose]();
});

function toOperation(path: string, method: string, described: Record<string, unknown>): Operation {
  const {
    parameters = [],
    requestBody,
    responses,
  } = described as unknown as Operation & {
    requestBody?: { content: Record<string, { schema: Schema }> };
  };
  const body = requestBody?.content["application/json"]?.schema;
  return { method: method.toUpperCase(), path, parameters, body, responses };
}

function request(path: string, init: RequestInit = {}): Promise<Response> {
  const unix = join(banger.home, "run/banger/daemon.sock");
  return fetch(`http://localhost${path}`, { ...init, unix });
}

test("every operation lists 400, and its events' data as JSON text", () => {
  expect(operations.length).toBeGreaterThan(70);
  for (const { method, path, responses } of operations) {
    expect([method, path, Object.keys(responses)]).toEqual([
      method,
      path,
      expect.arrayContaining(["200", "400"]),
    ]);
    const events = responses["200"]?.content?.["text/event-stream"]?.schema.oneOf ?? [];
    for (const event of events) {
      const { data } = event.properties ?? {};
      if (!data) continue;
      expect(data).toMatchObject({ type: "string", contentMediaType: "application/json" });
      expect(data.contentSchema).toBeDefined();
    }
  }
});

test("no input of the wrong type, length or shape gets an unlisted answer or a 500", async () => {
  const wrong: string[] = [];
  for (const operation of operations) {
    for (const call of callsOf(operation)) {
      const failure = await judge(operation, call);
      if (failure) wrong.push(`${operation.method} ${operation.path}, ${call.what}: ${failure}`);
    }
  }
  expect(wrong).toEqual([]);
  // It still answers, and it is the same daemon.
  expect((await request("/v1/system/status")).status).toBe(200);
});

test("a flag in a URL is what it says", async () => {
  const follow = (word: string) => request(`/v1/vms/nope/logs?follow=${word}`);
  for (const word of ["true", "false"]) expect((await follow(word)).status).toBe(404);
  for (const word of ["", "1", "no", "TRUE"]) expect((await follow(word)).status).toBe(400);
  const all = async (word: string) => {
    const answer = await request(`/v1/kernels/available?all=${word}`);
    return ((await answer.json()) as { arch: string }[]).map(({ arch }) => arch);
  };
  expect(new Set(await all("false")).size).toBe(1);
  expect(new Set(await all("true")).size).toBeGreaterThan(1);
});

test("a failure that is known before any event has its own status", async () => {
  const post = (path: string, body: object) =>
    request(path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json" },
    });
  expect((await post("/v1/vms/nope/start", {})).status).toBe(404);
  expect((await post("/v1/images/nope/promote", {})).status).toBe(404);
  expect((await request("/v1/vms/nope/files/watch?path=/")).status).toBe(404);
});

function callsOf(operation: Operation): Call[] {
  const params = Object.fromEntries(
    operation.parameters.filter(isPath).map(({ name }) => [name, "nope"]),
  );
  const query = valid(operation.parameters.filter((each) => !isPath(each)));
  const good = operation.body ? sample(operation.body) : undefined;
  const calls: Call[] = [];
  const add = (what: string, mustFail: boolean, change: Partial<Call>) =>
    calls.push({
      what,
      mustFail,
      params,
      query,
      ...(good === undefined ? {} : { body: JSON.stringify(good) }),
      ...change,
    });
  for (const { name, schema } of operation.parameters.filter(isPath)) {
    const long = "n".repeat((schema.maxLength ?? 4096) + 1);
    add(`${name} too long`, true, { params: { ...params, [name]: long } });
    add(`${name} with NUL`, false, { params: { ...params, [name]: "%00" } });
    add(`${name} that leads up`, false, { params: { ...params, [name]: "..%2F..%2Fetc" } });
  }
  for (const { name, schema } of operation.parameters.filter((each) => !isPath(each))) {
    const long = "x".repeat((schema.maxLength ?? 4096) + 1);
    add(`${name} too long`, true, { query: { ...query, [name]: long } });
  }
  if (!operation.body) return calls;
  for (const body of ["[null, null]", "5", '"x"', "null", "{", "\u0001"]) {
    add(`body ${JSON.stringify(body)}`, true, { body });
  }
  add("a body of another type", true, { body: "a=b", type: "text/plain" });
  const properties = operation.body.properties ?? {};
  for (const [name, schema] of Object.entries(properties)) {
    const put = (value: unknown) => ({
      body: JSON.stringify({ ...(good as object), [name]: value }),
    });
    for (const value of WRONG) {
      if (fits(value, schema)) continue;
      add(`${name} = ${JSON.stringify(value).slice(0, 20)}`, true, put(value));
    }
    if (schema.pattern?.includes("/") || /path|from|to|recipe|catalog|key/i.test(name)) {
      for (const path of BAD_PATHS) add(`${name} = ${path.slice(0, 20)}`, false, put(path));
    }
    if (operation.body.required?.includes(name)) {
      const { [name]: _, ...rest } = good as Record<string, unknown>;
      add(`without ${name}`, true, { body: JSON.stringify(rest) });
    }
  }
  if (!NOT_CALLED_EMPTY.includes(operation.path)) {
    add("a field of nobody's", false, { body: JSON.stringify({ ...(good as object), nope: 1 }) });
  }
  return calls;
}

function isPath(parameter: { in: string }): boolean {
  return parameter.in === "path";
}

async function judge(operation: Operation, call: Call): Promise<string | undefined> {
  const path = operation.path.replace(
    /\{\+?(\w+)\}/g,
    (_, name: string) => call.params[name] ?? "",
  );
  const query = new URLSearchParams(call.query).toString();
  const abort = new AbortController();
  const response = await request(`/v1${path}${query ? `?${query}` : ""}`, {
    method: operation.method,
    signal: abort.signal,
    body: call.body,
    headers: { "Content-Type": call.type ?? "application/json" },
  });
  const { status } = response;
  const isStream = response.headers.get("Content-Type")?.startsWith("text/event-stream");
  const text = isStream && status === 200 ? "a stream" : (await response.text()).slice(0, 300);
  if (isStream) abort.abort();
  if (status === 500) return `500 ${text}`;
  if (!(status in operation.responses)) return `${status} is not listed: ${text}`;
  if (call.mustFail && status < 400) return `accepted with ${status}: ${text}`;
  if (status >= 400 && !/"code":"[a-z_]+"/.test(text)) return `${status} without a code: ${text}`;
  return undefined;
}

function valid(parameters: Operation["parameters"]): Record<string, string> {
  const needed = parameters.filter((each) => "required" in each && each.required === true);
  return Object.fromEntries(needed.map(({ name, schema }) => [name, String(sample(schema))]));
}

/** A value that fits a schema, with the required properties only and names that nothing has. */
function sample(schema: Schema): unknown {
  const any = schema.anyOf ?? schema.oneOf;
  if (any?.[0]) return sample(any[0]);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.type === "object" || schema.properties) {
    const required = schema.required ?? [];
    return Object.fromEntries(
      required.map((name) => [name, sample(schema.properties?.[name] ?? {})]),
    );
  }
  if (schema.type === "array") return [];
  if (schema.type === "boolean") return false;
  if (schema.type === "integer" || schema.type === "number")
    return Math.max(schema.minimum ?? 0, 1);
  if (schema.format === "uri") return "https://127.0.0.1:1/x";
  if (schema.pattern?.startsWith("^\\/")) return "/nope";
  return schema.format === "base64" || schema.pattern?.includes("A-Za-z0-9+") ? "" : "nope";
}

/** Whether a schema may take a value; generous, since a wrong "no" would only fail the test. */
function fits(value: unknown, schema: Schema): boolean {
  const any = schema.anyOf ?? schema.oneOf;
  if (any) return any.some((each) => fits(value, each));
  if (schema.const !== undefined) return value === schema.const;
  if (schema.enum) return schema.enum.includes(value);
  switch (schema.type) {
    case "string":
      if (typeof value !== "string" || value.length > (schema.maxLength ?? Infinity)) return false;
      if (value.length < (schema.minLength ?? 0)) return false;
      return !schema.pattern || new RegExp(schema.pattern, "u").test(value);
    case "boolean":
      return typeof value === "boolean";
    case "null":
      return value === null;
    case "integer":
    case "number":
      if (typeof value !== "number" || value < (schema.minimum ?? -Infinity)) return false;
      return schema.type === "number" || Number.isInteger(value);
    case "array":
      if (!Array.isArray(value)) return false;
      return value.every((each) => fits(each, schema.items ?? {}));
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    default:
      return true;
  }
}
