import { expect, test } from "bun:test";
import { dockerfileOf, settingsOf } from "./dockerfile.ts";

const HASH = "0123456789abcdef0123456789abcdef";
const plain = { from: "debian:bookworm", settings: {} };

test("dockerfileOf() writes a template's steps as instructions", () => {
  const steps = [
    { type: "RUN", args: ["echo 'a' &&\necho b"] },
    { type: "COPY", args: ["./src/*.js", "app/", "bob", "0755"], filesHash: HASH },
    { type: "ENV", args: ["A", 'x "$y"', "B", "2"] },
    { type: "USER", args: ["bob"] },
    { type: "RUN", args: ["make", "root"] },
    { type: "WORKDIR", args: ["/srv"] },
  ];
  const settings = { start: "node app.js", memory_mib: 512 };
  const lines = dockerfileOf({ steps }, { from: "debian:bookworm", settings }).split("\n");
  expect(lines.map((line) => line.replace(/^(RUN ).*,("[^,]*")\]$/, "$1$2"))).toEqual([
    `FROM scratch AS files-${HASH}`,
    `ADD ${HASH} /`,
    "FROM debian:bookworm",
    "RUN \"echo 'a' &&\\necho b\"",
    `COPY --from=files-${HASH} --chown=bob --chmod=0755 ["/src/*.js","app/"]`,
    'ENV A="x \\"\\$y\\""',
    'ENV B="2"',
    "USER bob",
    "USER root",
    'RUN "make"',
    "USER bob",
    "WORKDIR /srv",
    'LABEL e2b.start="node app.js"',
    'LABEL e2b.memory="512"',
    "",
  ]);
});

test("the user that E2B's images have is made where a step needs it", () => {
  const withUser = dockerfileOf({ steps: [{ type: "USER", args: ["user"] }] }, plain);
  expect(withUser).toContain("useradd");
  expect(dockerfileOf({ steps: [{ type: "USER", args: ["bob"] }] }, plain)).not.toContain(
    "useradd",
  );
});

test("no step can write instructions of its own", () => {
  const bad: { type: string; args: string[]; filesHash?: string }[] = [
    { type: "USER", args: ["a\nRUN b"] },
    { type: "WORKDIR", args: ["/a\nRUN b"] },
    { type: "ENV", args: ["A", "a\nb"] },
    { type: "ENV", args: ["A B", "a"] },
    { type: "COPY", args: ["a", "b", "c d"], filesHash: HASH },
    { type: "COPY", args: ["a", "b"], filesHash: "../x" },
    { type: "COPY", args: ["a", "b"] },
    { type: "HEALTHCHECK", args: [] },
  ];
  for (const step of bad) expect(() => dockerfileOf({ steps: [step] }, plain)).toThrow();
  expect(() => dockerfileOf({}, { ...plain, from: "a\nRUN b" })).toThrow();
});

test("settingsOf() reads what dockerfileOf() has written", () => {
  expect(settingsOf({ "e2b.start": "x", "e2b.cpus": "2" })).toEqual({
    start: "x",
    ready: undefined,
    cpus: 2,
    memory_mib: undefined,
  });
});
