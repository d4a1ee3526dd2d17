import { expect, test } from "bun:test";
import { dockerOptionHint, dockerValueHint } from "./docker-options.ts";

test("docker's options have a hint, with or without their value attached", () => {
  for (const option of ["-v", "-v/src:/dst", "--volume", "--volume=/src:/dst"]) {
    expect(dockerOptionHint(option, "vm set")).toContain("banger vm create -v");
  }
  expect(dockerOptionHint("--privileged")).toContain("its own kernel");
  for (const option of ["--nope", "-x", "--", "toString", "--toString"]) {
    expect(dockerOptionHint(option)).toBeUndefined();
  }
});

test("what a command does not take has a hint of its own", () => {
  const listed = ["-f", "-fstatus=up", "-l", "-n3", "--filter=a=b", "--latest", "--no-trunc"];
  for (const option of listed) {
    expect(dockerOptionHint(option, "vm list")).toBeDefined();
  }
  expect(dockerOptionHint("--name", "vm set")).toContain("banger vm rename");
  expect(dockerOptionHint("--net=nat", "vm set")).toContain("banger network connect");
  expect(dockerOptionHint("-p8080:80", "vm set")).toContain("banger vm port add");
  expect(dockerOptionHint("--name", "vm list")).toBeUndefined();
  expect(dockerOptionHint("--privileged", "vm set")).toContain("its own kernel");
});

test("docker's values have a hint", () => {
  expect(dockerValueHint("--restart", "unless-stopped")).toContain("--restart always");
  expect(dockerValueHint("--restart", "on-failure:3")).toContain("without a count");
  expect(dockerValueHint("--net", "bridge")).toBe("Use --net nat");
  expect(dockerValueHint("--net", "mine")).toContain("--network NAME");
  for (const option of ["--restart", "--mode", "toString"]) {
    expect(dockerValueHint(option, "toString")).toBeUndefined();
  }
});
