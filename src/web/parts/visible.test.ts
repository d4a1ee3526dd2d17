import { expect, test } from "bun:test";
import { Glob } from "bun";
import { visible, visibleName } from "./visible.ts";

test("what cannot be seen, or reorders text, is shown as its code", () => {
  expect(visible("evil\u202egnp.exe")).toBe("evil<U+202E>gnp.exe");
  expect(visible("\x1b[31mred\x07\u0085\u200b\ufeff\u{e0041}")).toBe(
    "<U+001B>[31mred<U+0007><U+0085><U+200B><U+FEFF><U+E0041>",
  );
  expect(visible("tab\tand\nline, <b>, ü, 漢, 🙂")).toBe("tab\tand\nline, <b>, ü, 漢, 🙂");
  expect(visibleName("a\tb\nc")).toBe("a<U+0009>b<U+000A>c");
});

test("no page makes HTML of text", async () => {
  const ways =
    /innerHTML|outerHTML|insertAdjacentHTML|dangerouslySet|document\.write|srcdoc|javascript:/;
  const found: string[] = [];
  for await (const path of new Glob("src/web/**/*.{ts,tsx}").scan(`${import.meta.dir}/../../..`)) {
    if (path.endsWith(".test.ts")) continue;
    const text = await Bun.file(`${import.meta.dir}/../../../${path}`).text();
    if (ways.test(text)) found.push(path);
  }
  expect(found).toEqual([]);
});
