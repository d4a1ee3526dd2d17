/** What a request shows for a sandbox. */
import type { SandboxTokens } from "#e2b/control/view.ts";
import { TRAFFIC_TOKEN_HEADER } from "#e2b/tokens.ts";

/** A token of the sandbox, or else a URL's signature. */
export interface Credential {
  kind: keyof SandboxTokens;
  token: string | null;
  signed: string | null;
  /** For an error. */
  wanted: string;
}

export function credentialOf({ headers, url }: Request): Credential {
  return {
    kind: "access",
    token: headers.get("X-Access-Token"),
    signed: new URL(url).searchParams.get("signature"),
    wanted: "X-Access-Token, or a signed URL",
  };
}

export function credentialOfPort({ headers }: Request): Credential {
  const access = headers.get("X-Access-Token");
  return {
    kind: access === null ? "traffic" : "access",
    token: access ?? headers.get(TRAFFIC_TOKEN_HEADER),
    signed: null,
    wanted: `X-Access-Token or ${TRAFFIC_TOKEN_HEADER}`,
  };
}
