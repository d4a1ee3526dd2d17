import { expect, test } from "bun:test";
import { healthCommand } from "./health-check.ts";

test("the command of HEALTHCHECK is run as it is, or by the image's shell", () => {
  const of = (test: string[], shell?: string[]) => healthCommand({ healthcheck: { test }, shell });
  expect(of(["CMD", "curl", "-f", "x"])).toEqual(["curl", "-f", "x"]);
  expect(of(["CMD-SHELL", "curl || exit 1"])).toEqual(["/bin/sh", "-c", "curl || exit 1"]);
  expect(of(["CMD-SHELL", "x"], ["/bin/bash", "-ec"])).toEqual(["/bin/bash", "-ec", "x"]);
  for (const none of [["NONE"], [], ["CMD"], ["ELSE", "x"]]) expect(of(none)).toBeUndefined();
  expect(healthCommand({})).toBeUndefined();
});
