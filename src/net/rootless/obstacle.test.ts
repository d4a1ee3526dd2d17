import { expect, test } from "bun:test";
import { type NamespaceHost, plainObstacle, refusal } from "./obstacle.ts";

const able: NamespaceHost = {
  uid: 1000,
  missing: [],
  tunErrno: undefined,
  userNamespacesMax: 15_000,
  isCloneOff: false,
  isAppArmorRestricting: false,
};

test("an ordinary user of an ordinary host has nothing in the way", () => {
  expect(plainObstacle(able)).toBeUndefined();
  expect(plainObstacle({ ...able, userNamespacesMax: undefined })).toBeUndefined();
});

test("each obstacle is named with what removes it", () => {
  const told = (host: Partial<NamespaceHost>) => {
    const { code, message, hint = "" } = plainObstacle({ ...able, ...host }) ?? {};
    return [code, message?.replace("Cannot create a network namespace: ", ""), hint];
  };
  expect(told({ missing: ["pasta", "nsenter", "setpriv"] })).toEqual([
    "unsupported",
    "not installed: pasta, nsenter, setpriv",
    "sudo apt-get install passt util-linux, or run once: sudo banger setup",
  ]);
  expect(told({ userNamespacesMax: 0 })[1]).toContain("user.max_user_namespaces is 0");
  expect(told({ isCloneOff: true })[2]).toContain("kernel.unprivileged_userns_clone=1");
  expect(told({ tunErrno: "EACCES" })).toEqual([
    "permission_denied",
    'cannot open "/dev/net/tun" (EACCES)',
    "sudo chmod 0666 /dev/net/tun",
  ]);
  expect(told({ tunErrno: "ENOENT" })).toEqual([
    "unsupported",
    'cannot open "/dev/net/tun" (ENOENT)',
    "sudo modprobe tun",
  ]);
  expect(told({ uid: 0 })[0]).toBe("unsupported");
});

test("AppArmor is named where it restricts user namespaces", () => {
  const reason = "Couldn't configure user namespace: Operation not permitted";
  expect(refusal(able, reason).message).toBe(`Cannot create a network namespace: ${reason}`);
  const restricted = refusal({ ...able, isAppArmorRestricting: true }, reason);
  expect(restricted.message).toContain("kernel.apparmor_restrict_unprivileged_userns is 1");
  expect(restricted.hint).toStartWith("sudo sysctl -w kernel.apparmor_restrict");
});
