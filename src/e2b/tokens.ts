/** The access token of a sandbox, and the signatures of its file URLs. Both follow from one key and the sandbox. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/**
 * What the data plane of a sandbox wants in X-Access-Token. It names the API token that it was given for, and ends
 * with it.
 */
export function accessToken(key: Uint8Array, { id, caller }: { id: string; caller: string }) {
  const secret = createHmac("sha256", key).update(`envd:${id}:${caller}`).digest("base64url");
  return `${caller}.${secret}`;
}

/** Carries a traffic token. */
export const TRAFFIC_TOKEN_HEADER = "E2B-Traffic-Access-Token";

/** What ports of a sandbox accept besides API tokens; clients send it to programs in the sandbox. */
export function trafficToken(key: Uint8Array, { id, caller }: { id: string; caller: string }) {
  return accessToken(key, { id: `traffic:${id}`, caller });
}

/** Id of the API token. */
export function callerOfToken(token: string): string {
  return token.slice(0, Math.max(0, token.indexOf(".")));
}

export interface SignedFile {
  path: string;
  operation: "read" | "write";
  user: string;
  /** Unix time in seconds, as the URL has it. */
  expiration: string | null;
}

export function signature(token: string, file: SignedFile): string {
  const { path, operation, user, expiration } = file;
  const parts = [path, operation, user, token, ...(expiration === null ? [] : [expiration])];
  const hash = createHash("sha256").update(parts.join(":")).digest("base64");
  return `v1_${hash.replace(/=+$/, "")}`;
}

/** In a time that does not depend on where they differ. */
export function isSame(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => createHash("sha256").update(text).digest());
  return left !== undefined && right !== undefined && timingSafeEqual(left, right);
}
