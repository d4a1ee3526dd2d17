/** The daemon, as this page reaches it: the contract's client and exec streams, with the key of the login. */
import { signal } from "@preact/signals";
import type { ExecOpen } from "#api/exec.ts";
import { EXEC_PROTOCOL } from "#api/exec-constants.ts";
import type { ExecConnection, ExecOptions } from "#api/serve/exec-client.ts";
import { type Client, clientOver } from "#sdk/client.ts";
import { type Dial, openExecOver } from "#sdk/exec-stream.ts";

const KEY = "banger.key";
const KEY_HEADER = "X-Banger-Key";
const KEY_PROTOCOL_PREFIX = "banger.ui.";
const UNAUTHORIZED = 401;

/** What the page knows of its login. */
export const login = signal<"unknown" | "in" | "out">("unknown");

/** Uses the code in the address, and takes it out of the address and of the history. */
export async function logIn(): Promise<void> {
  const code = /^#login=([0-9a-f]{64})$/.exec(location.hash)?.[1];
  if (code === undefined) {
    login.value = localStorage.getItem(KEY) === null ? "out" : "in";
    return;
  }
  history.replaceState(null, "", location.pathname);
  const response = await fetch("/ui/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ code }),
  });
  if (response.ok) {
    const { key } = (await response.json()) as { key: string };
    localStorage.setItem(KEY, key);
    login.value = "in";
  } else {
    login.value = localStorage.getItem(KEY) === null ? "out" : "in";
  }
}

export async function logOut(): Promise<void> {
  await fetch("/ui/api/logout", { method: "POST", headers: { [KEY_HEADER]: keyOf() } });
  localStorage.removeItem(KEY);
  login.value = "out";
}

export const daemon: Client = clientOver({
  url: `${location.origin}/ui/api/rpc`,
  where: location.origin,
  async fetch(request, init) {
    const headers = new Headers(request.headers);
    headers.set(KEY_HEADER, keyOf());
    const response = await fetch(new Request(request, { headers }), init);
    if (response.status === UNAUTHORIZED) login.value = "out";
    return response;
  },
});

export function openStream(open: ExecOpen, options: ExecOptions = {}): ExecConnection {
  return openExecOver(location.origin, open, { ...options, dial });
}

const dial: Dial = (_, { onOpen, onMessage, onClose }) => {
  const protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const web = new WebSocket(`${protocol}//${location.host}/ui/api/exec`, [
    EXEC_PROTOCOL,
    `${KEY_PROTOCOL_PREFIX}${keyOf()}`,
  ]);
  web.binaryType = "arraybuffer";
  web.onopen = onOpen;
  web.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => onMessage(data);
  web.onclose = ({ reason }) => onClose(reason);
  return {
    get isOpen() {
      return web.readyState === WebSocket.OPEN;
    },
    send: (data) => web.send(data),
    close() {
      if (web.readyState < WebSocket.CLOSING) web.close(1000);
    },
  };
};

function keyOf(): string {
  return localStorage.getItem(KEY) ?? "";
}
