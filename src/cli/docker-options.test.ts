import { expect, test } from "bun:test";
import { dockerOptionHint, dockerValueHint } from "./docker-options.ts";

test("docker's options have a hint, with or without their value attached", () => {
  for (const option of ["-v", "-v/src:/dst", "--volume", "--volume=/src:/dst"]) {
    expect(dockerOptionHint(option)).toContain("banger vm cp");
  }
  expect(dockerOptionHint("--privileged")).toContain("kernel of its own");
  for (const option of ["--nope", "-x", "--", "toString", "--toString"]) {
    expect(dockerOptionHint(option)).toBeUndefined();
  }
});

test("docker's values have a hint", () => {
  expect(dockerValueHint("--restart", "unless-stopped")).toContain("--restart always");
  expect(dockerValueHint("--restart", "on-failure:3")).toContain("without a number");
  expect(dockerValueHint("--net", "bridge")).toBe("Use --net nat");
  expect(dockerValueHint("--net", "mine")).toContain("--network NAME");
  for (const option of ["--restart", "--mode", "toString"]) {
    expect(dockerValueHint(option, "toString")).toBeUndefined();
  }
});
