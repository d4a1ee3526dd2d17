/** apt's sources as images have them, and as nobody should. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { parseSources } from "./sources.ts";

test("lines and stanzas name the same sources", () => {
  const lines = `# the archive
deb http://deb.example/debian bookworm main contrib # more
deb-src http://deb.example/debian bookworm main
deb [ arch=amd64,i386 signed-by=/usr/share/keyrings/a.gpg lang=none ] https://x.example/apt ./
`;
  const stanzas = `# the archive
Types: deb deb-src
URIs: http://deb.example/debian/
Suites: bookworm
Components: main
# in the middle of a field
 contrib

Types: deb
URIs: https://x.example/apt
Suites: ./
Architectures: amd64 i386
Signed-By: /usr/share/keyrings/a.gpg
Languages: none
X-Repolib-Name: x

Types: deb
Enabled: no
URIs: file:/etc
Suites: x
`;
  const [first, second] = parseSources("sources.list", lines);
  expect(first?.base.href).toBe("http://deb.example/debian/");
  expect(first).toMatchObject({ suite: "bookworm", components: ["main", "contrib"] });
  expect(second).toMatchObject({
    suite: "./",
    components: [],
    architectures: ["amd64", "i386"],
    signedBy: { paths: ["/usr/share/keyrings/a.gpg"] },
  });
  expect(parseSources("a.sources", stanzas)).toEqual(parseSources("sources.list", lines));
});

test("a stanza that multiplies is refused before its sources are made", () => {
  const uris = Array.from({ length: 63 }, (_, index) => `http://${index}.example/`);
  const stanza = `Types: deb\nURIs: ${uris.join(" ")} file:/etc\nSuites: a b\nComponents: main\n`;
  expect(() => parseSources("a.sources", stanza)).toThrow("more than 64 sources");
});

test("options that only say no are none", () => {
  const line = "deb [trusted=no check-valid-until=yes] http://deb.example/ x y\n";
  expect(parseSources("a.list", line)).toEqual(
    parseSources("a.list", "deb http://deb.example/ x y\n"),
  );
});

const word = fc.oneof(
  fc.constantFrom("deb", "[", "]", "http://a.example/", "file:/etc", "../..", "/", "x/", "main"),
  fc.constantFrom(
    "trusted=yes",
    "signed-by=/a",
    "Types: deb",
    "URIs:",
    "Suites:",
    "\n",
    "\n\n",
    " ",
  ),
  fc.string({ maxLength: 8 }),
);

test("any text gives sources of the web, or one kind of error", () => {
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 20 }),
      fc.constantFrom("a.list", "a.sources"),
      (words, name) => {
        try {
          for (const { base, suite, components } of parseSources(name, words.join(" "))) {
            expect(base.protocol).toMatch(/^https?:$/);
            expect(base.pathname).toEndWith("/");
            for (const path of [suite, ...components])
              expect(path).not.toMatch(/\.\.|^\/.|[\s[\]]/);
          }
        } catch (error) {
          if (!(error instanceof BangerError)) throw error;
          expect(error.code).toBe("unsupported");
        }
      },
    ),
  );
});
