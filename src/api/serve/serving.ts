/** The API on TCP. */
import { z } from "zod";
import { hostPath } from "#api/fields.ts";

export const serveListen = z.object({
  /** "127.0.0.1:7777", "[::1]:7777", "localhost:7777"; port 0 takes one that is free. Default: `serve.listen`. */
  address: z.string().min(1).max(255).optional(),
  /** Certificate chain and private key, PEM files. Default: `serve.tls_cert` and `serve.tls_key`. */
  cert: hostPath.optional(),
  key: hostPath.optional(),
  /** More names that clients reach it by. */
  hosts: z.array(z.string().min(1).max(255)).max(64).optional(),
});
export type ServeListen = z.infer<typeof serveListen>;

export const serving = z.object({
  /** Such as "http://127.0.0.1:7777". */
  url: z.string(),
  /** Whether the configuration says so; otherwise it ends with the command that asked for it. */
  isConfigured: z.boolean(),
});
export type Serving = z.infer<typeof serving>;
