import { expect, test } from "bun:test";
import { desktopOf } from "./environment.ts";

test("a login over ssh names itself, also by an IPv6 address", () => {
  const env = { SSH_CONNECTION: "192.0.2.7 50000 192.0.2.1 22", USER: "ann", DISPLAY: ":0" };
  expect(desktopOf(env)).toEqual({ ssh: "ann@192.0.2.1", hasDisplay: true });
  const six = { SSH_CONNECTION: "2001:db8::7 50000 2001:db8::1 22" };
  expect(desktopOf(six)).toEqual({ ssh: "[2001:db8::1]", hasDisplay: false });
});

test("without ssh, a display is X's or Wayland's", () => {
  expect(desktopOf({})).toEqual({ ssh: undefined, hasDisplay: false });
  expect(desktopOf({ WAYLAND_DISPLAY: "wayland-0" }).hasDisplay).toBe(true);
});
