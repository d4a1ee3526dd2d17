import { expect, test } from "bun:test";
import { unitCommand, unitWord } from "./unit-word.ts";

test("words of a unit are quoted: specifiers everywhere, variables in arguments only", () => {
  expect(unitCommand(['/opt/my "tools"/5%/a$b', "x$y", "o'brien é"])).toBe(
    '"/opt/my \\"tools\\"/5%%/a$b" "x$$y" "o\'brien é"',
  );
  expect(unitWord("HOME=/home/John $Doe")).toBe('"HOME=/home/John $Doe"');
});
