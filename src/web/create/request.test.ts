import { expect, test } from "bun:test";
import { commandOf, EMPTY, parsePort, requestOf, splitCommand } from "./request.ts";

test("an empty form asks for nothing but the image", () => {
  const { request, problems } = requestOf({ ...EMPTY, image: " nginx " });
  expect(request).toEqual({ image: "nginx" });
  expect(problems).toEqual({});
  expect(commandOf(request)).toBe("banger vm create --image nginx");
});

test("each field is in the request, and in the command", () => {
  const { request, problems } = requestOf({
    image: "ghcr.io/example/tool:1.2",
    name: "tool",
    kernel: "debian-6.12",
    mode: "direct",
    cpus: "2",
    memory: "1.5G",
    disk: "10",
    network: "nat",
    ports: "8080:80, 127.0.0.1:5353:53/udp 443",
    env: "DEBUG=1\nTEXT=it's two words",
    labels: "team=web",
    command: `sh -c "echo \\"hi\\"; sleep 1"`,
    restart: "always",
    isLimited: true,
    allow: "*.debian.org\n192.0.2.0/24:443",
  });
  expect(problems).toEqual({});
  expect(request).toMatchObject({ memory_mib: 1536, disk_bytes: 10 * 1024 ** 3, cpus: 2 });
  expect(commandOf(request)).toBe(
    "banger vm create --image ghcr.io/example/tool:1.2 --name tool --kernel-ref debian-6.12 --mode direct " +
      "--cpus 2 --memory 1536M --disk 10G --net nat -p 8080:80 -p 127.0.0.1:5353:53/udp -p 443 " +
      `-e DEBUG=1 -e 'TEXT=it'\\''s two words' --label team=web --restart always ` +
      `--allow '*.debian.org' --allow 192.0.2.0/24:443 -- sh -c 'echo "hi"; sleep 1'`,
  );
});

test("what cannot be meant is a problem of its field", () => {
  const { request, problems } = requestOf({
    ...EMPTY,
    cpus: "1.5",
    memory: "much",
    disk: "-1",
    ports: "80:99999",
    env: "=x",
    labels: "team",
    command: "echo 'open",
  });
  expect(Object.keys(problems).sort()).toEqual(
    ["command", "cpus", "disk", "env", "labels", "memory", "ports"].sort(),
  );
  expect(request).toEqual({});
});

test("a policy without rules denies everything", () => {
  const { request } = requestOf({ ...EMPTY, isLimited: true });
  expect(request.policy).toEqual({ allow: [] });
  expect(commandOf(request)).toBe("banger vm create --deny-all");
});

test("ports are read as the command line has them", () => {
  expect(parsePort("[::1]:8080:80")).toEqual({
    hostAddress: "::1",
    hostPort: 8080,
    guestPort: 80,
    protocol: "tcp",
  });
  expect(parsePort("80")).toEqual({ hostPort: 0, guestPort: 80, protocol: "tcp" });
  for (const text of ["", "0", "x", "1:2:3:4", "80/sctp", "70000:80"]) {
    expect(parsePort(text), text).toBeUndefined();
  }
});

test("commands are split as a shell splits them", () => {
  expect(splitCommand(`a  'b c' "d \\$e" f\\ g ""`)).toEqual(["a", "b c", "d $e", "f g", ""]);
  expect(splitCommand("   ")).toEqual([]);
});
