import { expect, test } from "bun:test";
import { BangerError } from "#base/error.ts";
import { endpointsOf } from "./endpoint.ts";

function basesOf(registry: string, options = {}): string[] {
  return endpointsOf(registry, options).map(({ base }) => base.href);
}

test.each([
  ["docker.io", "https://registry-1.docker.io/v2/"],
  ["ghcr.io", "https://ghcr.io/v2/"],
  ["host.example:5000", "https://host.example:5000/v2/"],
  ["localhost", "http://localhost/v2/"],
  ["localhost:5000", "http://localhost:5000/v2/"],
  ["127.0.0.1:5000", "http://127.0.0.1:5000/v2/"],
  ["[::1]:5000", "http://[::1]:5000/v2/"],
  ["127.0.0.1.example", "https://127.0.0.1.example/v2/"],
  ["localhost.example", "https://localhost.example/v2/"],
])("endpointsOf(%j)", (registry, base) => {
  expect(basesOf(registry)).toEqual([base]);
});

test("endpointsOf() uses plain HTTP for the listed registries only", () => {
  const options = { insecureRegistries: ["Lab.example:5000"] };
  expect(basesOf("lab.example:5000", options)).toEqual(["http://lab.example:5000/v2/"]);
  expect(basesOf("lab.example", options)).toEqual(["https://lab.example/v2/"]);
});

test("endpointsOf() puts the mirrors of that registry first", () => {
  const mirrors = { "docker.io": ["a.example", "http://b.example:80/prefix/", "127.0.0.1:5000"] };
  expect(basesOf("docker.io", { mirrors })).toEqual([
    "https://a.example/v2/",
    "http://b.example/prefix/v2/",
    "http://127.0.0.1:5000/v2/",
    "https://registry-1.docker.io/v2/",
  ]);
  expect(basesOf("ghcr.io", { mirrors })).toEqual(["https://ghcr.io/v2/"]);
  expect(basesOf("constructor", { mirrors })).toEqual(["https://constructor/v2/"]);
});

test.each(["https://user:secret@a.example", "https://a.example/?x=1", "a b", ""])(
  "endpointsOf() refuses the mirror %j without repeating it",
  (mirror) => {
    const mirrors = { "docker.io": [mirror] };
    try {
      endpointsOf("docker.io", { mirrors });
      throw new Error("It was taken");
    } catch (error) {
      expect(error).toBeInstanceOf(BangerError);
      expect(String(error)).not.toContain("secret");
    }
  },
);
