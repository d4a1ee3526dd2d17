/** Lists of sandboxes: filters, order and pages. */
import type { Backend } from "#e2b/backend.ts";
import { badRequest } from "#e2b/errors.ts";
import { isPaused, type Sandbox, sandboxOf } from "#e2b/record.ts";
import { listed, startedAt } from "./view.ts";

const PAGE_DEFAULT = 100;
const PAGE_MAX = 100;
const STATES = ["running", "paused"];

/** One page, and the token of the next one if there is one. */
export function pageOf<T>(
  items: readonly T[],
  query: URLSearchParams,
  keyOf: (item: T) => string,
): { page: T[]; next: string | undefined } {
  const limit = limitOf(query.get("limit"));
  const token = query.get("nextToken");
  const after = token ? Buffer.from(token, "base64url").toString() : undefined;
  const at = after === undefined ? 0 : items.findIndex((item) => keyOf(item) === after) + 1;
  if (after !== undefined && at === 0) throw badRequest("invalid nextToken: nothing has it now");
  const page = items.slice(at, at + limit);
  const last = page.at(-1);
  const isMore = last !== undefined && at + limit < items.length;
  return { page, next: isMore ? Buffer.from(keyOf(last)).toString("base64url") : undefined };
}

/** As a reply, with the next page's token where E2B's clients look for it. */
export function pageReply(page: readonly unknown[], next: string | undefined): Response {
  return Response.json(page, { headers: next ? { "x-next-token": next } : {} });
}

/** Newest first unless the query wants them otherwise. `isOld`: of the first version, which knows no pages. */
export async function listSandboxes(
  { client }: Backend,
  query: URLSearchParams,
  { isOld = false }: { isOld?: boolean } = {},
): Promise<Response> {
  const sandboxes = (await client.vm.list()).flatMap((vm) => sandboxOf(vm) ?? []);
  const matching = sandboxes.filter(matcher(query)).sort(byAge);
  if (query.get("order") !== "asc") matching.reverse();
  if (isOld) {
    return Response.json(matching.filter((each) => !isPaused(each)).map((each) => listed(each)));
  }
  const { page, next } = pageOf(matching, query, ({ vm }) => vm.id);
  return pageReply(page.map(listed), next);
}

function byAge(a: Sandbox, b: Sandbox): number {
  const [left, right] = [startedAt(a), startedAt(b)];
  if (left === right) return a.vm.id < b.vm.id ? -1 : 1;
  return left < right ? -1 : 1;
}

function matcher(query: URLSearchParams): (sandbox: Sandbox) => boolean {
  const states = statesOf(query);
  const wanted = metadataOf(query.get("metadata"));
  const template = query.get("template");
  const after = query.get("startedAfter");
  const after_ms = after ? Date.parse(after) : undefined;
  if (Number.isNaN(after_ms)) throw badRequest("invalid startedAfter: not a date");
  return (sandbox) => {
    const { metadata = {}, template: own } = sandbox.record;
    return (
      states.includes(isPaused(sandbox) ? "paused" : "running") &&
      (template === null || own === template) &&
      (after_ms === undefined || Date.parse(startedAt(sandbox)) > after_ms) &&
      wanted.every(([name, value]) => metadata[name] === value)
    );
  };
}

function statesOf(query: URLSearchParams): string[] {
  const states = query.getAll("state").flatMap((each) => each.split(","));
  const unknown = states.find((each) => !STATES.includes(each));
  if (unknown !== undefined) throw badRequest(`invalid state: "${unknown}"`);
  return states.length > 0 ? states : STATES;
}

/** Pairs as in a query, each part of which is encoded once more. */
function metadataOf(text: string | null): [string, string][] {
  if (!text) return [];
  try {
    return [...new URLSearchParams(text)].map(([name, value]) => [
      decodeURIComponent(name),
      decodeURIComponent(value),
    ]);
  } catch {
    throw badRequest("invalid metadata: not URL-encoded");
  }
}

function limitOf(text: string | null): number {
  if (text === null) return PAGE_DEFAULT;
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= PAGE_MAX) return limit;
  throw badRequest(`invalid limit: expected an integer from 1 to ${PAGE_MAX}`);
}
