import { expect, test } from "bun:test";
import { AlternateScreen } from "./alternate-screen.ts";

test("a full-screen program is seen to come and go, wherever its sequences are cut", () => {
  const states: [text: string, isOn: boolean][] = [
    ["\x1b[?1049h\x1b[2J", true],
    ["text\x1b[?25l", true],
    ["\x1b[?1049l", false],
    ["\x1b[?1;1047;25h", true],
    ["\x1bc", false],
    ["\x1b[?47h\x1b[?47l\x1b[?47h", true],
    ["\x1b[?2004h\x1b[?12;47l$ ", false],
    ["\x1b[?10490h\x1b[1049h\x1b[?147h", false],
  ];
  for (const size of [1, 3, 1000]) {
    const screen = new AlternateScreen();
    for (const [text, isOn] of states) {
      for (let at = 0; at < text.length; at += size) {
        screen.see(Buffer.from(text.slice(at, at + size)));
      }
      expect([size, text, screen.isOn]).toEqual([size, text, isOn]);
    }
  }
});
