import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { bangerErrorOf } from "#test/expect-error.ts";
import { FirecrackerPeer } from "#test/firecracker-peer.ts";
import { type ApiRequest, callApi } from "./api.ts";

let folder = "";
let socketPath = "";
beforeEach(() => {
  folder = mkdtempSync("/tmp/banger-fc-api-");
  socketPath = join(folder, "api.sock");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("what comes back", () => {
  let server: Server | undefined;
  const open = new Set<Socket>();
  afterEach(async () => {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  });

  async function answering(bytes: string | undefined): Promise<void> {
    server = createServer((socket) => {
      open.add(socket);
      socket.on("error", () => {});
      socket.once("data", () => bytes !== undefined && socket.end(bytes));
    });
    await new Promise<void>((resolve) => server?.listen(socketPath, resolve));
  }

  const request: ApiRequest = { method: "PUT", path: "/vsock", body: {} };
  const http = (status: string, body: string) =>
    `HTTP/1.1 ${status}\r\nServer: Firecracker API\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

  test.each([
    [
      "a reason",
      http("400 Bad", '{"fault_message":"too big"}'),
      "PUT /vsock failed with status 400: too big",
    ],
    [
      "no JSON",
      http("500 Oops", "out of order"),
      "PUT /vsock failed with status 500: out of order",
    ],
    ["nothing", http("400 Bad", ""), "PUT /vsock failed with status 400: no reason given"],
  ])("a refusal with %s is shown", async (_, bytes, text) => {
    await answering(bytes);
    expect((await bangerErrorOf(callApi(socketPath, request))).message).toContain(text);
  });

  test("a refusal without end is cut, and an answer without end is not read", async () => {
    await answering(http("400 Bad", JSON.stringify({ fault_message: "x".repeat(9000) })));
    const { message } = await bangerErrorOf(callApi(socketPath, request));
    expect(message.length).toBeLessThan(1700);
    server?.close();
    socketPath = join(folder, "second.sock");
    await answering(http("200 OK", `"${"x".repeat(300_000)}"`));
    expect((await bangerErrorOf(callApi(socketPath, request))).code).toBe("integrity");
  });

  test("an answer that is no JSON, or breaks off, is an error", async () => {
    await answering(http("200 OK", "hello"));
    expect((await bangerErrorOf(callApi(socketPath, request))).code).toBe("integrity");
    server?.close();
    socketPath = join(folder, "second.sock");
    await answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
    expect((await bangerErrorOf(callApi(socketPath, request))).code).toBe("unavailable");
  });

  test("an empty answer is none", async () => {
    await answering("HTTP/1.1 204 No Content\r\nServer: Firecracker API\r\n\r\n");
    expect(await callApi(socketPath, request)).toBeUndefined();
  });

  test("nobody there, silence, and a cancelled wait are told apart", async () => {
    expect((await bangerErrorOf(callApi(socketPath, request))).code).toBe("unavailable");
    await answering(undefined);
    const late = await bangerErrorOf(callApi(socketPath, request, { timeout_ms: 40 }));
    expect([late.code, late.message]).toEqual([
      "timeout",
      "Cannot control Firecracker: no response to PUT /vsock within 40 ms",
    ]);
    const signal = AbortSignal.timeout(40);
    const cancelled = await bangerErrorOf(callApi(socketPath, request, { signal }));
    expect(cancelled.code).toBe("cancelled");
  });
});

/** The peer must be as strict as Firecracker, or the driver's tests prove nothing. */
describe("the peer", () => {
  test("refuses what the description does not allow", async () => {
    const peer = new FirecrackerPeer(folder);
    const { kernelPath, initrdPath, drives } = peer.spec();
    const child = Bun.spawn([peer.program, "--id", "x", "--api-sock", socketPath]);
    try {
      // The socket is there before anybody listens on it.
      const isUp = () =>
        callApi(socketPath, { method: "GET", path: "/" }).then(Boolean, () => false);
      while (!(await isUp())) await Bun.sleep(5);
      const send = async (method: ApiRequest["method"], path: string, body: object) => {
        const request = { method, path, body: { ...body } };
        return await callApi(socketPath, request).then(
          () => "ok",
          (error: Error) => error.message.replace(/^.*? with 400: /, ""),
        );
      };
      const machine = { vcpu_count: 1, mem_size_mib: 64 };
      const drive = { drive_id: "a", is_root_device: false, path_on_host: drives[0]?.path };
      const source = { kernel_image_path: kernelPath, initrd_path: initrdPath, boot_args: "x" };
      const start = { action_type: "InstanceStart" };
      expect(await send("PUT", "/actions", start)).toContain("without kernel");
      expect(await send("PUT", "/nowhere", {})).toContain("Invalid request method");
      expect(await send("PATCH", "/boot-source", source)).toContain("Invalid request method");
      expect(await send("PUT", "/machine-config", { vcpu_count: 1 })).toContain("missing field");
      expect(await send("PUT", "/machine-config", { ...machine, x: 1 })).toContain("unknown field");
      expect(await send("PUT", "/machine-config", { ...machine, smt: "no" })).toContain("boolean");
      expect(await send("PUT", "/machine-config", { ...machine, vcpu_count: 33 })).toContain(
        "range",
      );
      expect(await send("PUT", "/machine-config", { ...machine, vcpu_count: 1.5 })).toContain(
        "integer",
      );
      expect(await send("PUT", "/drives/b", { ...drive, is_read_only: true })).toContain(
        "id from the path",
      );
      expect(await send("PUT", "/drives/a", drive)).toContain("is_read_only");
      const odd = { ...drive, is_read_only: true, cache_type: "Writethrough" };
      expect(await send("PUT", "/drives/a", odd)).toContain("unknown variant");
      const limited = { ...drive, is_read_only: true, rate_limiter: { ops: { size: 1 } } };
      expect(await send("PUT", "/drives/a", limited)).toContain("missing field `refill_time`");
      expect(await send("PUT", "/vsock", { guest_cid: 2, uds_path: "/x" })).toContain("range");
      expect(await send("PUT", "/serial", { rate_limiter: { size: 1, refill_time: 1 } })).toContain(
        "unknown field `rate_limiter`",
      );
      expect(await send("PATCH", "/vm", { state: "Paused" })).toContain("before starting");
      expect(await send("PUT", "/actions", { action_type: "FlushMetrics" })).toContain(
        "before starting",
      );
      expect(
        await send("PUT", "/boot-source", { ...source, kernel_image_path: "/none" }),
      ).toContain("os error 2");
      expect(await send("PUT", "/boot-source", source)).toBe("ok");
      expect(await send("PUT", "/actions", start)).toBe("ok");
      expect(await send("PUT", "/actions", start)).toContain("after starting");
      expect(await send("PUT", "/machine-config", machine)).toContain("after starting");
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
  });
});
