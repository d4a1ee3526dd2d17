/** Tokens for the API on TCP. */
import { z } from "zod";
import { tokenScope } from "./caller.ts";

export const TOKEN_NAME_MAX_LENGTH = 63;
export const TOKEN_TTL_MIN_MS = 1000;
export const TOKEN_TTL_MAX_MS = 10 * 365 * 24 * 3600 * 1000;

export const tokenName = z
  .string()
  .max(TOKEN_NAME_MAX_LENGTH)
  .regex(/^[a-z]([a-z0-9-]*[a-z0-9])?$/, {
    error: "token names can contain lower-case letters, digits and dashes, and start with a letter",
  });

export const token = z.object({
  id: z.string(),
  name: tokenName,
  scope: tokenScope,
  createdAt: z.iso.datetime(),
  /** Absent: never. */
  expiresAt: z.iso.datetime().optional(),
  /** To the minute; absent: never. */
  usedAt: z.iso.datetime().optional(),
});
export type Token = z.infer<typeof token>;

export const tokenCreate = z.object({
  /** Made up when it is not given. */
  name: tokenName.optional(),
  /** Default: `own`. */
  scope: tokenScope.optional(),
  /** Default: it does not expire. */
  ttl_ms: z.int().min(TOKEN_TTL_MIN_MS).max(TOKEN_TTL_MAX_MS).optional(),
});
export type TokenCreate = z.infer<typeof tokenCreate>;

export const tokenCreated = z.object({
  token,
  /** The token itself, which is not stored and not shown again. */
  secret: z.string(),
});
export type TokenCreated = z.infer<typeof tokenCreated>;

/** By its name or id. */
export const tokenRef = z.string().min(1).max(TOKEN_NAME_MAX_LENGTH);
