/** The official conformance suite, whole, against a server of its own on our wiring, and against the product. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { LIMIT_MS } from "#test/limit.ts";
import { runConformance } from "#test/mcp/conformance.ts";
import { fixtureServer } from "#test/mcp/fixture.ts";
import { type ServedApi, startServedApi } from "#test/served-api.ts";
import { mcpHttp } from "./http.ts";
import { mcpMount } from "./mount.ts";

setDefaultTimeout(LIMIT_MS);

let api: ServedApi;
let token: string;
beforeAll(async () => {
  const { handle, notify } = mcpHttp(() => fixtureServer(() => notify));
  api = await startServedApi({ mounts: [{ prefix: "/fixture", handle }, mcpMount()] });
  token = api.tokens.create({ scope: "full" }).secret;
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
});

/** A client of 2025 gets no session here: nothing asks it for something of its own accord, and it subscribes to nothing. */
const NEED_SESSION = [
  "tools-call-sampling",
  "tools-call-elicitation",
  "elicitation-sep1034-defaults",
  "elicitation-sep1330-enums",
  "resources-subscribe",
  "resources-unsubscribe",
];
/** Of the product: these call tools and resources that only the fixture has. */
const CALL_THE_FIXTURE = [
  "tools-call-simple-text",
  "tools-call-image",
  "tools-call-audio",
  "tools-call-embedded-resource",
  "tools-call-mixed-content",
  "tools-call-error",
  "tools-call-with-progress",
  "resources-read-text",
  "resources-read-binary",
  "resources-templates-read",
];
/** It has no prompts. */
const NEED_PROMPTS = [
  "completion-complete",
  "prompts-list",
  "prompts-get-simple",
  "prompts-get-with-args",
  "prompts-get-embedded-resource",
  "prompts-get-with-image",
];
/** It sends no log messages: they are deprecated since 2026-07-28. */
const NEED_LOGGING = ["logging-set-level", "tools-call-with-logging"];
/** No tool of it asks the client something. */
const NEED_INPUT = [
  "basic-elicitation",
  "basic-sampling",
  "basic-list-roots",
  "request-state",
  "multiple-input-requests",
  "multi-round",
  "non-tool-request",
  "result-type",
  "tampered-state",
  "capability-check",
  "missing-input-response",
  "ignore-extra-params",
].map((name) => `input-required-result-${name}`);
/** Checks of scenarios whose other checks pass: for the same reasons. */
const SINGLE_CHECKS = [
  "server-stateless:sep-2575-server-rejects-undeclared-capability",
  "server-stateless:sep-2575-missing-capability-http-400",
  "server-stateless:sep-2575-http-server-no-independent-requests-on-stream",
  "server-stateless:sep-2575-server-no-log-without-loglevel",
  "caching:sep-2549-prompts-list-caching-hints",
];

/** Run by the suite, and not required: its own reference server fails the first one as well, the others are extensions. */
const NOT_REQUIRED = ["json-schema-2020-12"];
const EXTENSIONS = [
  "http-custom-header-server-validation",
  "tasks-lifecycle",
  "tasks-capability-negotiation",
  "tasks-wire-fields",
  "tasks-request-state-removal",
  "tasks-mrtr-input",
  "tasks-request-headers",
  "tasks-dispatch-and-envelope",
  "tasks-required-task-error",
  "tasks-mrtr-composition",
];

const passed = (out: string) =>
  [...out.matchAll(/^✓ ([\w-]+): [1-9]\d* passed/gm)].map(([, name]) => name);

test.concurrent("all that the specification of 2026-07-28 requires passes on our wiring", async () => {
  const url = `${api.url}/fixture`;
  const out = await runConformance({ url, revision: "2026-07-28" }, token);
  expect(passed(out).length).toBeGreaterThanOrEqual(37);
});

test.concurrent("a client of 2025 gets all but what needs a session", async () => {
  const url = `${api.url}/fixture`;
  const out = await runConformance(
    { url, revision: "2025-11-25", expectedFailures: [...NEED_SESSION, ...NOT_REQUIRED] },
    token,
  );
  expect(passed(out)).toContain("server-initialize");
});

test.concurrent("the product passes what applies to it", async () => {
  const url = `${api.url}/mcp`;
  const expectedFailures = [
    ...CALL_THE_FIXTURE,
    ...NEED_PROMPTS,
    ...NEED_INPUT,
    ...SINGLE_CHECKS,
    ...NOT_REQUIRED,
    ...EXTENSIONS,
  ];
  const out = await runConformance({ url, revision: "2026-07-28", expectedFailures }, token);
  const applies = ["tools-list", "resources-list", "dns-rebinding-protection"];
  expect(passed(out)).toEqual(expect.arrayContaining([...applies, "http-header-validation"]));
});

test.concurrent("and for a client of 2025", async () => {
  const url = `${api.url}/mcp`;
  const expectedFailures = [
    ...NEED_SESSION,
    ...CALL_THE_FIXTURE,
    ...NEED_PROMPTS,
    ...NEED_LOGGING,
    ...NOT_REQUIRED,
  ];
  const out = await runConformance({ url, revision: "2025-11-25", expectedFailures }, token);
  expect(passed(out)).toEqual(expect.arrayContaining(["server-initialize", "ping", "tools-list"]));
});
