/** The API as a page for people, made of its OpenAPI document: no script, and nothing from elsewhere. */
import { createHash } from "node:crypto";
import { accessOf } from "./authorize.ts";
import { TOKEN_HEADER } from "./port-door.ts";

const STYLE = `:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{overflow:auto;padding:.6rem;border:1px solid #8884;border-radius:4px}
details{border-bottom:1px solid #8883}summary{display:flex;gap:.8rem;padding:.3rem 0;cursor:pointer}
summary code:first-child{width:4rem;flex:none;font-weight:bold}summary span{margin-left:auto;text-align:right;opacity:.75}
h2{margin:2rem 0 .3rem}`;

/** Of the page: its own style, and nothing else. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

interface Operation {
  operationId?: string;
  summary?: string;
  parameters?: { name: string; in: string; required?: boolean }[];
  requestBody?: { content?: Record<string, { schema?: unknown }> };
  responses?: Record<string, unknown>;
}

export interface ApiDocument {
  info: { title: string; version: string; description?: string };
  paths: Record<string, Record<string, Operation>>;
}

export function apiPage({ info, paths }: ApiDocument): string {
  const groups = new Map<string, string[]>();
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const [group = ""] = operation.operationId?.split(".") ?? [];
      groups.set(group, [...(groups.get(group) ?? []), operationText(method, path, operation)]);
    }
  }
  const body = [...groups].map(
    ([group, all]) => `<h2 id="${escaped(group)}">${escaped(group)}</h2>${all.join("")}`,
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(info.title)} API</title><style>${STYLE}</style>
<h1>${escaped(info.title)} ${escaped(info.version)}</h1><p>${escaped(info.description ?? "")}</p>
<pre>TOKEN=$(banger token create -q)
curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:7777/v1/vms
curl -H "${TOKEN_HEADER}: $TOKEN" http://PORT-MACHINE.localhost:7777/</pre>
<p>The same as a document: <a href="/openapi.json">openapi.json</a>. Paths are below <code>/v1</code>.</p>
${body.join("\n")}</html>
`;
}

function operationText(method: string, path: string, operation: Operation): string {
  const {
    operationId = "",
    summary = "",
    parameters = [],
    requestBody,
    responses = {},
  } = operation;
  const given = parameters.map(({ name, in: where, required }) => {
    const text = `${escaped(name)}</code>, ${escaped(where)}${required ? "" : ", optional"}`;
    return `<li><code>${text}</li>`;
  });
  const schema = requestBody?.content?.["application/json"]?.schema;
  const input = schema ? `<pre>${escaped(JSON.stringify(schema, undefined, 1))}</pre>` : "";
  return `<details><summary><code>${escaped(method.toUpperCase())}</code><code>${escaped(path)}</code><span>${escaped(summary)}</span></summary>
<p>Scopes: ${escaped(scopesText(operationId))}. Status: ${escaped(Object.keys(responses).join(", "))}.</p>
${given.length > 0 ? `<ul>${given.join("")}</ul>` : ""}${input}</details>`;
}

function scopesText(operationId: string): string {
  const rule = accessOf(operationId.split("."));
  if (!rule || rule.isUserOnly) return "none; the unix socket only";
  const { scopes, machine, snapshot } = rule;
  return scopes
    .map((scope) => (scope === "own" && (machine ?? snapshot) ? "own (its own)" : scope))
    .join(", ");
}

/** Ours as well, since the parts come from many places. */
function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
