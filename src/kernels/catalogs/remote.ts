/** Downloads a catalog and verifies its signature before parsing it. */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { readSmall } from "#http/download.ts";
import { withRetries } from "#http/retry.ts";
import { parseHttpUrl } from "#http/url.ts";
import { MAX_SIGNATURE_BYTES, type PublicKey, verify } from "./minisign.ts";

export const MAX_CATALOG_BYTES = 8 * MiB;
/** Loopback connections need no TLS. */
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

export interface SignedText {
  text: string;
  signature: string;
}

/** An https URL, or an http URL on loopback. */
export function parseCatalogUrl(text: string): URL {
  const url = parseHttpUrl(text);
  if (url.protocol === "https:" || LOOPBACK.test(url.hostname)) return url;
  throw new BangerError("invalid_argument", `invalid catalog URL "${text}": expected https`);
}

/** `integrity` if the signature, at the URL with ".minisig" appended, is invalid. */
export async function fetchCatalog(
  address: string,
  { key, signal }: { key: PublicKey; signal: AbortSignal },
): Promise<SignedText> {
  const url = parseCatalogUrl(address);
  const signatureUrl = new URL(url);
  signatureUrl.pathname += ".minisig";
  const signature = await fetchSmall(signatureUrl, MAX_SIGNATURE_BYTES, signal);
  const bytes = await fetchSmall(url, MAX_CATALOG_BYTES, signal);
  const text = Buffer.from(signature).toString();
  verify(bytes, text, { key, what: `catalog "${address}"` });
  return { text: Buffer.from(bytes).toString(), signature: text };
}

async function fetchSmall(url: URL, max_bytes: number, signal: AbortSignal): Promise<Uint8Array> {
  const action = `get "${url.href}"`;
  const { bytes } = await withRetries(() => readSmall({ url, action, max_bytes, signal }), {
    signal,
  });
  return bytes;
}
