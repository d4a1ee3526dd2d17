/** The files of the web UI, which come with the program in one pack that scripts/build-ui.ts makes. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { BangerError } from "#base/error.ts";

interface Packed {
  type: string;
  /** Compressed with gzip, in base64. */
  gzip: string;
}

/** Nothing from elsewhere, nothing inline, no eval; not in a frame. */
export const UI_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

let pack: Promise<Map<string, Packed>> | undefined;

/** `name`: such as "main-1a2b3c.js". Names of scripts and styles change with their content. */
export async function uiAsset(name: string, request: Request): Promise<Response | undefined> {
  pack ??= readPack();
  const found = (await pack).get(name);
  if (!found) return undefined;
  const isPage = name === "index.html";
  const headers = new Headers({
    "Content-Type": found.type,
    "Cache-Control": isPage ? "no-cache" : "public, max-age=31536000, immutable",
    Vary: "Accept-Encoding",
    "Content-Security-Policy": UI_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
  });
  const bytes = Buffer.from(found.gzip, "base64");
  const isCompressed = /\bgzip\b/.test(request.headers.get("Accept-Encoding") ?? "");
  if (isCompressed) headers.set("Content-Encoding", "gzip");
  const body = isCompressed ? bytes : gunzipSync(bytes);
  return new Response(request.method === "HEAD" ? null : new Uint8Array(body), { headers });
}

async function readPack(): Promise<Map<string, Packed>> {
  try {
    // Only when a browser asks: most runs of the daemon need none of it.
    const { uiPackPath } = await import("./pack.ts");
    const files = JSON.parse(readFileSync(uiPackPath, "utf8")) as Record<string, Packed>;
    return new Map(Object.entries(files));
  } catch (cause) {
    pack = undefined;
    throw new BangerError("internal", "Cannot read the embedded web UI", {
      hint: "In a checkout, run: make build",
      cause,
    });
  }
}
