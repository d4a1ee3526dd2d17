import { expect, test } from "bun:test";
import { BangerError } from "#base/error.ts";
import { formatLocation, parseLocation } from "./location.ts";

test.each([
  ["debian", "docker.io/library/debian:latest"],
  ["docker://debian:12", "docker.io/library/debian:12"],
  ["oci:layout", "oci:/home/me/layout"],
  ["oci:/srv/layout:tag", "oci:/srv/layout:tag"],
  ["oci:../layout:docker.io/library/debian:12", "oci:/home/layout:docker.io/library/debian:12"],
  ["oci-archive:a.tar", "oci-archive:/home/me/a.tar"],
  ["docker-archive:a.tar:debian:12", "docker-archive:/home/me/a.tar:debian:12"],
  ["docker-daemon:app", "docker-daemon:app"],
  ["docker-daemon:0123456789ab", "docker-daemon:0123456789ab"],
  ["containers-storage:localhost/app:v1", "containers-storage:localhost/app:v1"],
  ["docker-archive:a.tar:@1", "docker-archive:/home/me/a.tar:@1"],
])("parseLocation(%j)", (text, canonical) => {
  const location = parseLocation(text, { cwd: "/home/me" });
  expect(formatLocation(location)).toBe(canonical);
  expect(parseLocation(canonical, { cwd: "/" })).toEqual(
    location.kind === "registry"
      ? { kind: "registry", reference: { ...location.reference, original: canonical } }
      : location,
  );
});

test.each([
  "oci:",
  "oci::tag",
  "docker-archive:",
  "oci:a\0b",
  "docker-daemon:",
  "docker-daemon:--output=x",
  "containers-storage:a b",
])("parseLocation(%j) is refused", (text) => {
  expect(() => parseLocation(text)).toThrow(BangerError);
});
