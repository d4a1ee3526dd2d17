import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseChallenges } from "./challenge.ts";

function plain(header: string): [string, Record<string, string>][] {
  return parseChallenges(header).map(({ scheme, params }) => [scheme, Object.fromEntries(params)]);
}

test.each([
  [
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull,push"',
    [
      [
        "bearer",
        {
          realm: "https://auth.docker.io/token",
          service: "registry.docker.io",
          scope: "repository:library/debian:pull,push",
        },
      ],
    ],
  ],
  ['Basic realm="a \\"quoted\\" one"', [["basic", { realm: 'a "quoted" one' }]]],
  ["BASIC REALM=simple", [["basic", { realm: "simple" }]]],
  [
    "Bearer realm=https://a.example/token, service=x",
    [["bearer", { realm: "https://a.example/token", service: "x" }]],
  ],
  [
    'Basic realm="x", Bearer realm="y" , service = "z"',
    [
      ["basic", { realm: "x" }],
      ["bearer", { realm: "y", service: "z" }],
    ],
  ],
  [
    'Negotiate abc+/=, Basic realm="x"',
    [
      ["negotiate", {}],
      ["basic", { realm: "x" }],
    ],
  ],
  [
    "Negotiate, Basic",
    [
      ["negotiate", {}],
      ["basic", {}],
    ],
  ],
  ["", []],
  [",,", []],
  ['Bearer realm="unclosed', [["bearer", {}]]],
])("parseChallenges(%j)", (header, expected) => {
  expect(plain(header)).toEqual(expected as [string, Record<string, string>][]);
});

test("parseChallenges() reads any parameters back", () => {
  const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/);
  const params = fc.dictionary(token, fc.string({ maxLength: 20 }), { maxKeys: 4, minKeys: 1 });
  const challenges = fc.array(fc.tuple(token, params), { maxLength: 4 });
  fc.assert(
    fc.property(challenges, (list) => {
      const header = list
        .map(([scheme, record]) => {
          const pairs = Object.entries(record).map(
            ([name, value]) => `${name}="${value.replace(/[\\"]/g, "\\$&")}"`,
          );
          return `${scheme} ${pairs.join(", ")}`;
        })
        .join(", ");
      expect(plain(header)).toEqual(list.map(([scheme, record]) => [scheme, { ...record }]));
    }),
  );
});

test("parseChallenges() ends on any text", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'aB=", \\/\t'), maxLength: 80 }), (text) => {
      parseChallenges(text);
    }),
    { numRuns: 1000 },
  );
});
