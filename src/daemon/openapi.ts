/** The contract as an OpenAPI 3.1 document. */
import { OpenAPIGenerator } from "@orpc/openapi";
import { ZodToJsonSchemaConverter } from "@orpc/zod/zod4";
import { contract } from "#api/contract.ts";
import { EXEC_PATH, EXEC_PROTOCOL } from "#api/exec.ts";
import { version } from "#base/version.ts";

let document: Promise<unknown> | undefined;

export function openApiDocument(): Promise<unknown> {
  document ??= generate();
  return document;
}

async function generate(): Promise<unknown> {
  const generator = new OpenAPIGenerator({ schemaConverters: [new ZodToJsonSchemaConverter()] });
  const generated = await generator.generate(contract, {
    info: {
      title: "banger",
      version: version.version,
      description:
        "The daemon's API, on its unix socket and on TCP. On TCP each request needs a token. Streams are server-sent events; the event `done` holds the result. " +
        "An error that is known before the first event is an ordinary response with its own status. " +
        `Commands in machines run over a WebSocket at ${EXEC_PATH} (subprotocol ${EXEC_PROTOCOL}).`,
    },
    servers: [{ url: "/v1" }],
    security: [{ token: [] }, {}],
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "Not needed on the unix socket" },
      },
    },
  });
  return withEventText(withTokenErrors(generated));
}

/** As in `errorResponse` of ./errors.ts. */
const tokenError: object = {
  type: "object",
  properties: {
    defined: { const: false },
    code: { type: "string" },
    status: { type: "number" },
    message: { type: "string" },
    data: { type: "object", properties: { hint: { type: "string" } } },
  },
  required: ["defined", "code", "status", "message", "data"],
};

/** What any operation may be answered with on TCP. */
function withTokenErrors(document: Awaited<ReturnType<OpenAPIGenerator["generate"]>>) {
  for (const item of Object.values(document.paths ?? {})) {
    for (const method of ["get", "put", "post", "delete", "patch"] as const) {
      const responses = item?.[method]?.responses;
      if (!responses) continue;
      const content = { "application/json": { schema: tokenError } };
      responses["401"] ??= { description: "Missing or unknown token", content };
      responses["429"] ??= { description: "Too many requests", content };
    }
  }
  return document;
}

/**
 * The generator describes an event's data as the value that it stands for. On the wire it is the
 * JSON text of that value, which JSON Schema calls a string with `contentSchema`.
 */
function withEventText(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withEventText);
  if (!isRecord(node)) return node;
  const entries = Object.entries(node).map(([key, value]) => [key, withEventText(value)]);
  const copy: Record<string, unknown> = Object.fromEntries(entries);
  const stream = copy["text/event-stream"];
  if (!isRecord(stream)) return copy;
  return { ...copy, "text/event-stream": { ...stream, schema: eventSchema(stream["schema"]) } };
}

function eventSchema(schema: unknown): unknown {
  if (!isRecord(schema)) return schema;
  const { oneOf, properties } = schema;
  if (Array.isArray(oneOf)) return { ...schema, oneOf: oneOf.map(eventSchema) };
  if (!isRecord(properties) || !("data" in properties)) return schema;
  const data = {
    type: "string",
    contentMediaType: "application/json",
    contentSchema: properties["data"],
  };
  return { ...schema, properties: { ...properties, data } };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
