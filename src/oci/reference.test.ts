import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { canonicalName, parseReference } from "./reference.ts";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;

function errorOf(text: string): BangerError {
  try {
    parseReference(text);
  } catch (error) {
    if (error instanceof BangerError) return error;
    throw error;
  }
  throw new Error(`"${text}" was taken`);
}

describe("parseReference() names what Docker names", () => {
  test.each([
    ["debian", "docker.io/library/debian:latest"],
    ["debian:bookworm", "docker.io/library/debian:bookworm"],
    ["docker.io/debian", "docker.io/library/debian:latest"],
    ["index.docker.io/library/debian", "docker.io/library/debian:latest"],
    ["owner/name", "docker.io/owner/name:latest"],
    ["a/b/c", "docker.io/a/b/c:latest"],
    ["localhost/name", "localhost/name:latest"],
    ["localhost:5000", "docker.io/library/localhost:5000"],
    ["localhost:5000/name", "localhost:5000/name:latest"],
    ["127.0.0.1:5000/library/debian:bookworm", "127.0.0.1:5000/library/debian:bookworm"],
    ["[::1]:5000/x", "[::1]:5000/x:latest"],
    ["ghcr.io/owner/name:v1.2", "ghcr.io/owner/name:v1.2"],
    ["GHCR.io/owner/name", "ghcr.io/owner/name:latest"],
    ["registry/name", "docker.io/registry/name:latest"],
    ["registry:443/name", "registry:443/name:latest"],
    [`debian@${DIGEST}`, `docker.io/library/debian@${DIGEST}`],
    [`debian:12@${DIGEST}`, `docker.io/library/debian:12@${DIGEST}`],
    ["a__b/c---d/e.f:_x", "docker.io/a__b/c---d/e.f:_x"],
    [`x:${"t".repeat(128)}`, `docker.io/library/x:${"t".repeat(128)}`],
  ])("%s", (text, canonical) => {
    const reference = parseReference(text);
    expect(canonicalName(reference)).toBe(canonical);
    expect(reference.original).toBe(text);
  });
});

describe("parseReference() refuses", () => {
  test.each([
    "",
    ":tag",
    "/x",
    "x/",
    "a//b",
    "Debian",
    "a/Debian",
    "x:",
    "x:.tag",
    "x:-tag",
    `x:${"t".repeat(129)}`,
    "x@",
    "x@sha256:abc",
    `x@${DIGEST.toUpperCase()}`,
    "x@y@z",
    "a..b",
    "a___b",
    "-a",
    "a-",
    "localhost:99999/x",
    "localhost:0/x",
    "-bad.host/x",
    "host.example:/x",
    "user@host.example/x",
    "a.1/x",
    "127.1/x",
    "0x7f.0.0.1/x",
    "256.0.0.1/x",
    "[1:2]/x",
    "https://ghcr.io/owner/name",
    "a b",
    "a\nb",
    "a/../b",
    "é",
    `${"a/".repeat(200)}a`,
    "a".repeat(256),
    "a".repeat(5000),
  ])("%j", (text) => {
    const error = errorOf(text);
    expect(error.code).toBe("invalid_argument");
    expect(error.hint).toBeDefined();
    expect(error.message.length).toBeLessThan(1000);
  });
});

test("parseReference() says which digests it takes", () => {
  expect(errorOf(`x@sha512:${"a".repeat(128)}`).code).toBe("unsupported");
});

test("parseReference() proposes lower case and the name without a scheme", () => {
  expect(errorOf("Debian:12").hint).toContain('"debian"');
  expect(errorOf("https://ghcr.io/a/b").hint).toContain('"ghcr.io/a/b"');
});

test("parseReference() reads back every canonical name", () => {
  const word = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  const component = fc
    .array(word, { minLength: 1, maxLength: 3 })
    .chain((words) => fc.constantFrom(".", "_", "__", "-", "--").map((glue) => words.join(glue)));
  const registry = fc.oneof(
    fc.constantFrom("docker.io", "ghcr.io", "localhost", "127.0.0.1", "[::1]"),
    word.map((name) => `${name}.example`),
  );
  const port = fc.option(fc.integer({ min: 1, max: 65535 }), { nil: undefined });
  const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
  const tag = fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/), {
    nil: undefined,
  });
  const digest = fc.option(fc.constant(DIGEST), { nil: undefined });
  fc.assert(
    fc.property(registry, port, path, tag, digest, (host, number, name, label, hash) => {
      const isHub = host === "docker.io";
      const server = number === undefined || isHub ? host : `${host}:${number}`;
      const text = `${server}/${name}${label ? `:${label}` : ""}${hash ? `@${hash}` : ""}`;
      const once = parseReference(text);
      const twice = parseReference(canonicalName(once));
      expect({ ...twice, original: "" }).toEqual({ ...once, original: "" });
      expect(once.registry).toBe(server);
      expect(once.repository).toBe(isHub && !name.includes("/") ? `library/${name}` : name);
      expect(once.tag).toBe(label ?? (hash ? undefined : "latest"));
    }),
  );
});

test("parseReference() takes or refuses any text, and fails in no other way", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 60 }),
    fc.string({ unit: fc.constantFrom(..."aA0.:/@-_[]"), maxLength: 40 }),
  );
  fc.assert(
    fc.property(text, (value) => {
      try {
        const { registry, repository } = parseReference(value);
        expect(`${registry}/${repository}`).not.toMatch(/\.\.|[\s%?#\\@]/);
        expect(URL.canParse(`https://${registry}/v2/${repository}/manifests/x`)).toBe(true);
      } catch (error) {
        if (!(error instanceof BangerError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});
