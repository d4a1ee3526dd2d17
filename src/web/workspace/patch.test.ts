import { expect, test } from "bun:test";
import fc from "fast-check";
import { parsePatch } from "./patch.ts";

const PATCH = `diff --git a/src/main.c b/src/main.c
index 1..2 100644
--- a/src/main.c
+++ b/src/main.c
@@ -1,3 +1,4 @@ int main(void)
 one
-two
+<script>alert(1)</script>
+three
 four
\\ No newline at end of file
diff --git a/old name b/new name
similarity index 100%
rename from old name
rename to new name
diff --git a/gone b/gone
deleted file mode 100644
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-all
diff --git a/x.png b/x.png
new file mode 100644
Binary files /dev/null and b/x.png differ
`;

test("a patch is files with their lines", () => {
  const files = parsePatch(PATCH);
  expect(
    files.map(({ name, added, removed, isBinary }) => [name, added, removed, isBinary]),
  ).toEqual([
    ["src/main.c", 2, 1, false],
    ["new name", 0, 0, false],
    ["gone", 0, 1, false],
    ["x.png", 0, 0, true],
  ]);
  expect(files[0]?.lines.map(({ kind }) => kind).join(" ")).toBe(
    "hunk same removed added added same note",
  );
  expect(files[0]?.lines[3]?.text).toBe("+<script>alert(1)</script>");
  expect(parsePatch("")).toEqual([]);
});

test("lines of a file that look like a patch begin no file", () => {
  const files = parsePatch(
    [
      "diff --git a/a b/a",
      "--- a/a",
      "+++ b/a",
      "@@ -1,2 +1,3 @@",
      "--- a/etc/passwd",
      "+++ b/etc/passwd",
      "+diff --git a/x b/x",
      "+@@ -1,9 +1,9 @@",
      " diff --git a/y b/y",
      "",
    ].join("\n"),
  );
  expect(files.map(({ name, added, removed }) => [name, added, removed])).toEqual([["a", 3, 1]]);
});

test("whatever a guest writes, no line is lost or made up", () => {
  const line = fc.oneof(
    fc.constantFrom(
      "diff --git a/x b/x",
      "--- a/x",
      "+++ b/x",
      "@@ -1,2 +1,2 @@",
      "@@ -9999999999 +1 @@",
    ),
    fc.constantFrom("+a", "-b", " c", "\\ No", "", "Binary files a and b differ"),
    fc.string().filter((text) => !text.includes("\n")),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const all = ["diff --git a/f b/f", ...lines, "end"];
      const back = parsePatch(all.join("\n")).flatMap(({ head, lines: own }) => [
        ...head,
        ...own.map(({ text }) => text),
      ]);
      return back.sort().join("\n") === all.sort().join("\n");
    }),
  );
});
