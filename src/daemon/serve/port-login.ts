/** Login page for the ports of a machine: exchanges a token for a cookie. */
import type { Socket } from "node:net";
import { refuse } from "./front.ts";
import type { Authority } from "./gate.ts";

export const LOGIN_PATH = "/.banger/login";
const BODY_MAX_BYTES = 4096;
const BODY_TIMEOUT_MS = 10_000;

const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>banger</title>
<meta name="viewport" content="width=device-width">
<style>body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:26rem;padding:0 1rem}
input,button{font:inherit;padding:.4rem;width:100%;box-sizing:border-box;margin:.3rem 0}
:root{color-scheme:light dark}</style>
<h1>Token required</h1><p>Ports of this machine need a token. Create one with <code>banger token create</code>.</p>
<form method="post" action="${LOGIN_PATH}"><label>Token
<input name="token" type="password" autocomplete="off" required autofocus></label><button>Continue</button></form></html>
`;

/** The login page for browsers, one line of text for programs. */
export function loginPage(client: Socket, headers: Headers): void {
  if (!/\btext\/html\b/.test(headers.get("Accept") ?? "")) {
    refuse(client, "401 Unauthorized", "A token is required: send it as X-Banger-Token");
    return;
  }
  answer(client, "401 Unauthorized", {
    fields: [
      "Content-Type: text/html; charset=utf-8",
      "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
      "WWW-Authenticate: Bearer",
    ],
    body: PAGE,
  });
}

interface Login {
  hostname: string;
  isSecure: boolean;
  authority: Authority;
  headers: Headers;
  /** The part of the body received so far. */
  rest: Buffer;
}

/** `cookieFor`: the Set-Cookie field for a token; undefined for one that is unknown. */
export async function takeLogin(
  client: Socket,
  { authority, isSecure, headers, rest }: Login,
  cookieFor: (secret: string) => string | undefined,
): Promise<void> {
  const scheme = isSecure ? "https" : "http";
  if (headers.get("Origin") !== `${scheme}://${authority.host}`) {
    refuse(client, "403 Forbidden", "cross-origin request refused");
    return;
  }
  const length = Number(headers.get("Content-Length"));
  if (!Number.isInteger(length) || length < 1 || length > BODY_MAX_BYTES) {
    refuse(client, "413 Content Too Large");
    return;
  }
  const body = await readBody(client, { rest, length });
  const cookie = cookieFor(new URLSearchParams(body).get("token")?.trim() ?? "");
  if (cookie)
    answer(client, "303 See Other", { fields: ["Location: /", `Set-Cookie: ${cookie}`], body: "" });
  else loginPage(client, headers);
}

async function readBody(
  client: Socket,
  { rest, length }: { rest: Buffer; length: number },
): Promise<string> {
  let bytes = rest;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, BODY_TIMEOUT_MS);
  const more = (chunk: Buffer): void => {
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.length >= length) resolve();
  };
  client.on("data", more);
  client.once("close", () => resolve());
  client.resume();
  if (bytes.length < length) await promise;
  clearTimeout(timer);
  client.off("data", more);
  return bytes.toString("utf8", 0, length);
}

function answer(
  client: Socket,
  status: string,
  { fields, body }: { fields: string[]; body: string },
): void {
  const all = [
    ...fields,
    "Connection: close",
    "Cache-Control: no-store",
    "X-Content-Type-Options: nosniff",
    // With "no-referrer" the form would be sent without its origin.
    "Referrer-Policy: same-origin",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  client.end(`HTTP/1.1 ${status}\r\n${all.map((each) => `${each}\r\n`).join("")}\r\n${body}`);
}
