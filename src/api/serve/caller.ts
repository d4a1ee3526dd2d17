/** Who calls the API, and how much a token lets them do. */
import { z } from "zod";

/** `full`: everything that the user may; `own`: machines that the token has made; `read`: changes nothing. */
export const tokenScope = z.enum(["full", "own", "read"]);
export type TokenScope = z.infer<typeof tokenScope>;

export interface Caller {
  /** Id of the token; undefined for the user, at the daemon's own socket. */
  token: string | undefined;
  scope: TokenScope;
  /** The token's name. */
  name: string;
}

/** Whoever can open the daemon's socket. */
export const USER: Caller = { token: undefined, scope: "full", name: "user" };

/** `banger_` and 32 random bytes in hexadecimal digits. */
export const TOKEN_PREFIX = "banger_";
/** In front of a token, as a WebSocket's subprotocol, for clients that cannot set headers. */
export const TOKEN_PROTOCOL_PREFIX = "banger.token.";
