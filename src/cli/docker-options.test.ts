import { expect, test } from "bun:test";
import { dockerOptionHint } from "./docker-options.ts";

test("docker's options have a hint, with or without their value attached", () => {
  for (const option of ["-v", "-v/src:/dst", "--volume", "--volume=/src:/dst"]) {
    expect(dockerOptionHint(option)).toContain("banger vm cp");
  }
  expect(dockerOptionHint("--privileged")).toContain("kernel of its own");
  for (const option of ["--nope", "-x", "--", "toString", "--toString"]) {
    expect(dockerOptionHint(option)).toBeUndefined();
  }
});
