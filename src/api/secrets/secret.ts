/** Secrets of machines, as every client sees them: names, and where they may go. Values only ever go in. */
import { z } from "zod";

export const MACHINE_SECRETS_MAX = 32;
export const SECRET_VALUE_MIN_LENGTH = 8;
export const SECRET_VALUE_MAX_LENGTH = 16 * 1024;
const HOSTS_MAX = 16;
const HEADERS_MAX = 16;
const COMMAND_WORDS_MAX = 64;
const COMMAND_WORD_MAX = 4096;
const TTL_MAX_S = 24 * 3600;

/** The machine's environment variable has the same name. */
export const secretName = z
  .string()
  .max(64, { error: "secret names can have at most 64 characters" })
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, {
    error: "secret names can contain letters, digits and underscores",
  });

/** Variables that decide how programs start, and those that a machine gets for its certificates and its ssh agent. */
const RESERVED_NAMES: ReadonlySet<string> = new Set([
  ..."PATH HOME USER SHELL PWD IFS ENV BASH_ENV NODE_OPTIONS PYTHONHOME PYTHONPATH PERL5LIB PERL5OPT RUBYLIB".split(
    " ",
  ),
  ..."RUBYOPT SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE PIP_CERT GIT_SSL_CAINFO AWS_CA_BUNDLE".split(
    " ",
  ),
  ..."JAVA_TOOL_OPTIONS NODE_EXTRA_CA_CERTS DENO_CERT SSH_AUTH_SOCK".split(" "),
]);

/** Of a new secret. */
export const newSecretName = secretName.refine(
  (name) => !RESERVED_NAMES.has(name) && !/^(LD|DYLD|MALLOC)_|^GLIBC_TUNABLES$/.test(name),
  { error: "programs in the machine need this environment variable for something else" },
);

/** What can be sent in a header, and is long enough not to be found where it is not. */
export const secretValue = z
  .string()
  .min(SECRET_VALUE_MIN_LENGTH, {
    error: `secrets must have at least ${SECRET_VALUE_MIN_LENGTH} characters`,
  })
  .max(SECRET_VALUE_MAX_LENGTH, {
    error: `secrets can have at most ${SECRET_VALUE_MAX_LENGTH} characters`,
  })
  .regex(/^[\x20-\x7e]*$/, { error: "secrets can contain printable ASCII characters only" });

export const secretHost = z
  .string()
  .max(260)
  .regex(/^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*(:[1-9]\d{0,4})?$/, {
    error: 'secrets are for names of hosts, such as "api.example.com" or "*.example.com:8443"',
  })
  .refine((text) => !/^[\d.]+(:|$)/.test(text), { error: "secrets are for names, not addresses" })
  .refine((text) => Number(/:(\d+)$/.exec(text)?.[1] ?? 1) <= 65535, {
    error: "the port must be from 1 to 65535",
  });

/** Of a new secret. */
const newSecretHost = secretHost.refine((text) => !/^\*\.[^.:]+(:|$)/.test(text), {
  error:
    'a secret cannot be for everything below a top-level domain, only below a name such as "*.example.com"',
});

const headerName = z
  .string()
  .max(128)
  .regex(/^[a-z0-9!#$%&'*+.^_`|~-]+$/, { error: "invalid header name" })
  .refine((name) => !["host", "content-length", "transfer-encoding", "connection"].includes(name), {
    error: "a secret cannot be in this header",
  });

/** A secret that a machine may use: it has a placeholder in its environment, and never the value. */
export const machineSecret = z.object({
  name: secretName,
  /** A host without a port is for 443. */
  hosts: z.array(secretHost).min(1).max(HOSTS_MAX),
  /** Headers it may be in besides Authorization, in lower case. */
  headers: z.array(headerName).max(HEADERS_MAX).optional(),
  /** It may be in the query of a URL. */
  inQuery: z.boolean().optional(),
  /** It may be in the body of a request. */
  inBody: z.boolean().optional(),
});

/** Without a value: the one of the keyring. */
export const machineSecretRequest = machineSecret.extend({
  name: newSecretName,
  hosts: z
    .array(newSecretHost)
    .min(1)
    .max(HOSTS_MAX, {
      error: `a secret can be for at most ${HOSTS_MAX} hosts`,
    }),
  value: secretValue.optional(),
});
export type MachineSecretRequest = z.infer<typeof machineSecretRequest>;

export const machineSecretRequests = z
  .array(machineSecretRequest)
  .max(MACHINE_SECRETS_MAX)
  .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, {
    error: "each secret can be given once",
  });

/** A secret in the user's keyring. */
export const storedSecret = z.object({
  name: secretName,
  kind: z.enum(["value", "command"]),
  /** Of a command: what is run on the host for the value. */
  command: z.array(z.string()).optional(),
  changedAt: z.iso.datetime(),
});
export type StoredSecret = z.infer<typeof storedSecret>;

/** Either a value, or a command that prints one. */
export const secretSource = z.union([
  z.object({ value: secretValue }),
  z.object({
    command: z.array(z.string().min(1).max(COMMAND_WORD_MAX)).min(1).max(COMMAND_WORDS_MAX),
    /** How long its output is used for, where that does not say when it expires; default 5 minutes. */
    ttl_s: z.int().min(0).max(TTL_MAX_S).optional(),
  }),
]);
export type SecretSource = z.infer<typeof secretSource>;
