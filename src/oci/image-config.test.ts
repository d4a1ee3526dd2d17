import { expect, test } from "bun:test";
import { sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { parseImageConfig } from "./image-config.ts";

const DIFF_ID = sha256("layer");

function parse(document: unknown, layerCount = 1) {
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  return parseImageConfig(bytes, { what: "the config", layerCount });
}

test("parseImageConfig() keeps every noun", () => {
  const config = parse({
    os: "linux",
    architecture: "arm64",
    variant: "v8",
    created: "2026-01-02T03:04:05Z",
    config: {
      Entrypoint: ["/init"],
      Cmd: ["sh", "-c", "x"],
      Env: ["PATH=/bin", "EMPTY="],
      WorkingDir: "/srv",
      User: "1000:1000",
      ExposedPorts: { "80/tcp": {}, "53/udp": {} },
      Labels: { a: "b", __proto__x: "y" },
      StopSignal: "SIGQUIT",
      Healthcheck: { Test: ["CMD", "x"], Interval: 1_500_000_000, Retries: 3, Timeout: 0 },
      Volumes: { "/data": {} },
      Shell: ["/bin/bash", "-c"],
      OnBuild: ["RUN x"],
    },
    author: "someone",
    history: [{ created: "then", created_by: "RUN x", comment: "c", empty_layer: true }, {}],
    rootfs: { type: "layers", diff_ids: [DIFF_ID] },
  });
  expect(config).toEqual({
    platform: { os: "linux", architecture: "arm64" },
    created: "2026-01-02T03:04:05Z",
    entrypoint: ["/init"],
    cmd: ["sh", "-c", "x"],
    env: ["PATH=/bin", "EMPTY="],
    workdir: "/srv",
    user: "1000:1000",
    exposedPorts: ["80/tcp", "53/udp"],
    labels: { a: "b", __proto__x: "y" },
    stopSignal: "SIGQUIT",
    healthcheck: { test: ["CMD", "x"], interval_ms: 1500, retries: 3 },
    volumes: ["/data"],
    shell: ["/bin/bash", "-c"],
    onBuild: ["RUN x"],
    author: "someone",
    history: [
      { created: "then", createdBy: "RUN x", comment: "c", isEmptyLayer: true },
      { created: "", createdBy: "", comment: "", isEmptyLayer: false },
    ],
    diffIds: [DIFF_ID],
  });
});

test("parseImageConfig() takes null and nothing for nothing", () => {
  const empty = { Entrypoint: null, Cmd: null, Env: null, ExposedPorts: null, Labels: null };
  for (const config of [empty, null, undefined, {}]) {
    const parsed = parse({ config, rootfs: { diff_ids: null } }, 0);
    expect(parsed).toMatchObject({ entrypoint: [], cmd: [], env: [], labels: {}, diffIds: [] });
    expect(parsed.platform).toBeUndefined();
  }
});

test("parseImageConfig() takes what docker takes of older tools", () => {
  const config = parse({
    created: 1_400_000_000,
    config: {
      Cmd: "/bin/run it",
      Entrypoint: "/init",
      ExposedPorts: ["80/tcp"],
      Labels: { a: "b", number: 1 },
    },
    history: "none",
    rootfs: { diff_ids: [DIFF_ID] },
  });
  expect(config).toMatchObject({
    created: "",
    cmd: ["/bin/run it"],
    entrypoint: ["/init"],
    exposedPorts: ["80/tcp"],
    labels: { a: "b" },
    history: [],
  });
  expect(config.labels).not.toHaveProperty("number");
});

const refused: [string, unknown, number?][] = [
  ["fewer layers than the manifest", { rootfs: { diff_ids: [DIFF_ID] } }, 2],
  ["more layers than the manifest", { rootfs: { diff_ids: [DIFF_ID] } }, 0],
  ["no rootfs", {}],
  ["a diff id that is none", { rootfs: { diff_ids: ["sha256:x"] } }],
  ["a NUL in an argument", { config: { Cmd: ["a\0b"] }, rootfs: { diff_ids: [DIFF_ID] } }],
  ["a number as argument", { config: { Cmd: [1] }, rootfs: { diff_ids: [DIFF_ID] } }],
];
for (const [name, document, layerCount] of refused) {
  test(`parseImageConfig() refuses ${name}`, () => {
    expect(() => parse(document, layerCount)).toThrow(BangerError);
  });
}
