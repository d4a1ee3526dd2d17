import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { gitAddressOf, shownAddress } from "./address.ts";

function parts(word: string) {
  const address = gitAddressOf(word);
  return address && { ...address, url: address.url.href };
}

const PLAIN = {
  ref: undefined,
  subdir: "",
  checksum: undefined,
  keepGitDir: undefined,
  submodules: true,
};

test("addresses of repositories are told from other sources", () => {
  const url = "https://example.com/a/b.git";
  expect(parts(url)).toEqual({ ...PLAIN, url });
  expect(parts("http://example.com/.git#v1:docs/../x/")).toEqual({
    ...PLAIN,
    url: "http://example.com/.git",
    ref: "v1",
    subdir: "x",
  });
  expect(parts("git://example.com/b#main")).toEqual({
    ...PLAIN,
    url: "git://example.com/b",
    ref: "main",
  });
  expect(parts("git@example.com:a/b.git#:docs")).toEqual({
    ...PLAIN,
    url: "ssh://git@example.com/a/b.git",
    subdir: "docs",
  });
  for (const word of [
    "b.git",
    "./a@b:c.git",
    "https://example.com/b.git/x",
    "https://example.com/b",
    "file:///b.git",
    "ext::sh -c id",
    "ftp://example.com/b.git",
    "--upload-pack=x",
    "/a/b.git",
  ]) {
    expect([word, parts(word)]).toEqual([word, undefined]);
  }
});

test("the query says what is meant of a repository", () => {
  const at = "https://example.com/b.git";
  expect(parts(`${at}?tag=v1&commit=ab12&subdir=/d&keep-git-dir&submodules=false`)).toEqual({
    url: at,
    ref: "refs/tags/v1",
    subdir: "d",
    checksum: "ab12",
    keepGitDir: true,
    submodules: false,
  });
  expect(parts(`${at}?branch=x#refs/heads/x`)?.ref).toBe("refs/heads/x");
  const wrong: [string, string][] = [
    ["?tag=v1#refs/heads/x", "conflict"],
    ["?tag=a&branch=b", "conflict"],
    ["?ref=a&ref=a", "duplicate ref"],
    ["?ref=", "ref requires a value"],
    ["?depth=1", 'unknown parameter "depth"'],
    ["?keep-git-dir=maybe", "must be true or false"],
  ];
  for (const [end, problem] of wrong) expect(() => gitAddressOf(at + end)).toThrow(problem);
});

test("no name is taken for an option, a pattern or a refspec", () => {
  for (const ref of [
    "--upload-pack=x",
    "-x",
    "a*",
    "a b",
    "+a",
    "a..b",
    "a@{1}",
    "/a",
    ".a",
    "a/",
    "a\\b",
    "a^{}",
  ]) {
    const word = `https://example.com/b.git?ref=${encodeURIComponent(ref)}`;
    if (ref === "+a") expect(gitAddressOf(word)?.ref).toBe("+a");
    else expect(() => gitAddressOf(word)).toThrow("is not a branch, tag or commit");
  }
});

test("a login is shown nowhere", () => {
  const address = gitAddressOf("https://user:secret@example.com/b.git");
  expect(address && shownAddress(address.url)).toBe("https://example.com/b.git");
  let message = "";
  try {
    gitAddressOf("https://user:secret@example.com/b.git?x=1");
  } catch (error) {
    message = String(error);
  }
  expect(message).toContain("//example.com/b.git");
  expect(message).not.toContain("secret");
});

test("any text is an address, none, or one of our errors", () => {
  const text = fc.string({ maxLength: 40 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      for (const word of [a, `https://h/${a}.git${b}`, `git@h:${a}?${b}#${a}`]) {
        try {
          gitAddressOf(word);
        } catch (error) {
          expect(error).toBeInstanceOf(BangerError);
        }
      }
    }),
    { numRuns: 500 },
  );
});
