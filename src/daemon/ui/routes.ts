/**
 * Paths of the web UI. Its files are anybody's; its API is for browsers that are logged in, and its session counts
 * nowhere else. Host, Origin and Sec-Fetch-Site are checked before, and here once more for what changes something.
 */
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { uiAsset } from "./assets.ts";
import type { UiSession, UiSessions } from "./sessions.ts";

export const UI_PREFIX = "/ui";
export const UI_API = "/ui/api";
export const KEY_HEADER = "X-Banger-Key";
/** In front of the key, as a WebSocket's subprotocol. */
export const KEY_PROTOCOL_PREFIX = "banger.ui.";
const LOGIN_MAX_BYTES = 4096;

const loginBody = z.object({ code: z.string().max(200) });

/** Whether it is the page itself, which holds nothing of anybody. */
export function isUiPage(pathname: string): boolean {
  return pathname === UI_PREFIX || /^\/ui\/(?!api\/|assets\/|login)/.test(pathname);
}

/** Cookies and key of a request. */
export function uiSecrets(headers: Headers): [cookies: string | null, key: string | undefined] {
  return [headers.get("Cookie"), keyOf(headers)];
}

/** The session, if it may use the API with this request. */
export function uiSession(request: Request, found: UiSession | undefined): UiSession {
  assertOwnPage(request);
  if (found) return found;
  throw new BangerError("unauthorized", "not logged in to the web UI", {
    hint: "Log in with: banger ui",
  });
}

/** What needs no session; undefined for what is below UI_API. */
export async function uiPublic(
  request: Request,
  sessions: UiSessions,
): Promise<Response | undefined> {
  const { pathname, protocol } = new URL(request.url);
  const isRead = request.method === "GET" || request.method === "HEAD";
  if (pathname === UI_PREFIX && isRead) {
    return new Response(null, { status: 302, headers: { Location: `${UI_PREFIX}/` } });
  }
  if (pathname === "/ui/login") return await login(request, sessions, protocol === "https:");
  if (pathname === UI_API || pathname.startsWith(`${UI_API}/`)) return undefined;
  const file = isUiPage(pathname) ? "index.html" : pathname.slice("/ui/assets/".length);
  const asset = isRead ? await uiAsset(file, request) : undefined;
  if (asset) return asset;
  throw new BangerError("not_found", `no such path: ${pathname}`);
}

async function login(request: Request, sessions: UiSessions, isSecure: boolean): Promise<Response> {
  assertOwnPage(request);
  const isJson = request.headers.get("Content-Type") === "application/json";
  if (request.method !== "POST" || !isJson) {
    throw new BangerError("invalid_argument", "a login is a POST of JSON");
  }
  const text = await request.text();
  const body = text.length <= LOGIN_MAX_BYTES ? loginBody.safeParse(parse(text)) : undefined;
  const made = body?.success ? sessions.exchange(body.data.code, { isSecure }) : undefined;
  if (!made) {
    throw new BangerError("unauthorized", "the login is unknown, used or expired", {
      hint: "Log in with: banger ui",
    });
  }
  return Response.json({ key: made.key }, { headers: { "Set-Cookie": made.setCookie } });
}

/** A page of the UI names itself when it changes something, and browsers say that they were not typed in. */
function assertOwnPage({ method, headers }: Request): void {
  const isUpgrade = headers.get("Upgrade") !== null;
  const isSilent = headers.get("Origin") === null && (method !== "GET" || isUpgrade);
  const site = headers.get("Sec-Fetch-Site");
  if (!isSilent && (site === null || site === "same-origin")) return;
  throw new BangerError("permission_denied", "refused: not a request of the web UI's own page");
}

function keyOf(headers: Headers): string | undefined {
  const key = headers.get(KEY_HEADER);
  if (key !== null) return key;
  return (headers.get("Sec-WebSocket-Protocol") ?? "")
    .split(",")
    .map((each) => each.trim())
    .find((each) => each.startsWith(KEY_PROTOCOL_PREFIX))
    ?.slice(KEY_PROTOCOL_PREFIX.length);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
