/**
 * A peer for tests of the Firecracker driver: it takes the arguments of Firecracker, serves its API
 * socket, and checks every request against the published description (fields, types, legal before or
 * after the start, rules of order), as Firecracker would. IT DOES NOT RUN MACHINES: after
 * InstanceStart its "guest" is a few lines here that speak the line protocol of guest-init.c over the
 * vsock socket. What passes here is a correct sequence of requests, and no proof of a boot.
 *
 * Every request is appended to FAKE_JOURNAL as one line of JSON. FAKE_PLAN is a JSON `Plan` of how to
 * misbehave.
 */
import {
  appendFileSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import {
  cannotOpen,
  complaintAbout,
  endpoints,
  fieldsSince,
  objects,
} from "./firecracker-description.ts";
import { loadSnapshot, saveSnapshot } from "./firecracker-snapshot.ts";

export interface Plan {
  /** Default "1.14.1". */
  version?: string;
  /** "METHOD /path" of the request that …; of one action also "PUT /actions:ACTION" */
  refuse?: string;
  /** … with this message. */
  fault?: string;
  hang?: string;
  crash?: string;
  /** Ends with a message before the socket is there. */
  crashAtStart?: string;
  /** Never makes the socket. */
  noSocket?: boolean;
  /** How many connections find nobody listening, as while the guest boots. */
  deafConnections?: number;
  /** Sent in place of "OK NUMBER\n". */
  handshake?: string;
  /** How many connections are taken and never answered, as before the guest has a vsock driver; default 1. */
  silentConnections?: number;
}

interface Answer {
  status: number;
  body?: unknown;
}

const plan: Plan = JSON.parse(process.env["FAKE_PLAN"] ?? "{}");
const version = plan.version ?? "1.14.1";
const flags = parseArguments(process.argv.slice(2));

const state = {
  started: false,
  paused: false,
  bodies: new Map<string, Record<string, unknown>>(),
  deaf: plan.deafConnections ?? 0,
  silent: plan.silentConnections ?? 1,
  kept: "",
  /** Connections to the guest that it knows. */
  guests: new Set<Socket>(),
  memoryFd: undefined as number | undefined,
};

function parseArguments(argv: string[]): Map<string, string> {
  if (argv.includes("--version")) {
    console.log(`Firecracker v${version}\n`);
    process.exit(0);
  }
  const withValue = ["--api-sock", "--id", "--log-path", "--level", "--start-time-us"];
  const found = new Map<string, string>();
  for (let at = 0; at < argv.length; at++) {
    const flag = argv[at] ?? "";
    if (flag === "--show-level") continue;
    const value = argv[at + 1];
    if (!withValue.includes(flag) || value === undefined || found.has(flag)) {
      console.error(`Error: ParseArguments(UnexpectedArgument("${flag}"))`);
      process.exit(153);
    }
    found.set(flag, value);
    at++;
  }
  return found;
}

function answerTo(method: string, path: string, body: unknown): Answer {
  const pattern = path.replace(/^\/(drives|pmem|network-interfaces)\/[^/]+$/, "/$1/*");
  const endpoint = endpoints[`${method} ${pattern}`];
  if (!endpoint || !isSince(endpoint.since)) {
    return fault(`Invalid request method and/or path: ${method} ${path.slice(1)}.`);
  }
  const name = endpoint.body;
  if (!name !== (body === undefined)) return fault(`wrong body for ${method} ${path}`);
  if (name && name !== "any") {
    const complaint = complaintAbout(body, `@${name}`) ?? fieldTooYoung(name, body);
    if (complaint)
      return fault(`An error occurred when deserializing the json body: ${complaint}.`);
  }
  const fields = (body ?? {}) as Record<string, unknown>;
  const id = pattern.endsWith("/*") ? path.split("/")[2] : undefined;
  if (id !== undefined && ![fields["drive_id"], fields["iface_id"], fields["id"]].includes(id)) {
    return fault("The id from the path does not match the id from the body!");
  }
  const when = actionTime(fields) ?? endpoint.when;
  if (when === "before" && state.started) {
    return fault("The requested operation is not supported after starting the microVM.");
  }
  if (when === "after" && !state.started) {
    return fault("The requested operation is not supported before starting the microVM.");
  }
  const refusal = act(`${method} ${pattern}`, fields);
  if (refusal !== undefined) return fault(refusal);
  state.bodies.set(`${method} ${path}`, fields);
  if (method !== "GET") return { status: 204 };
  const running = state.paused ? "Paused" : "Running";
  const info = { app_name: "Firecracker", id: flags.get("--id") ?? "anonymous-instance" };
  const vmState = state.started ? running : "Not started";
  return { status: 200, body: { ...info, state: vmState, vmm_version: version } };
}

function actionTime({ action_type }: Record<string, unknown>): "before" | "after" | undefined {
  if (action_type === undefined) return undefined;
  return action_type === "InstanceStart" ? "before" : "after";
}

/** What the request does; the fault_message when it cannot. */
function act(request: string, fields: Record<string, unknown>): string | undefined {
  switch (request) {
    case "PUT /logger":
      if (fields["log_path"] === undefined) return undefined;
      return cannotOpen(fields["log_path"], constants.O_RDWR);
    case "PUT /boot-source":
      return (
        cannotOpen(fields["kernel_image_path"], constants.O_RDONLY) ??
        (fields["initrd_path"] === undefined
          ? undefined
          : cannotOpen(fields["initrd_path"], constants.O_RDONLY))
      );
    case "PUT /drives/*":
      return refuseDrive(fields);
    case "PUT /vsock":
      return listenForHost(String(fields["uds_path"]));
    case "PATCH /drives/*":
      return state.bodies.has(`PUT /drives/${fields["drive_id"]}`) ? undefined : "Device not found";
    case "PUT /snapshot/create":
      // The guest is told that its connections are over.
      state.guests.clear();
      return saveSnapshot(fields, { ...state, version });
    case "PUT /snapshot/load":
      return load(fields);
    case "PATCH /vm":
      state.paused = fields["state"] === "Paused";
      return undefined;
    case "PUT /actions":
      return performAction(String(fields["action_type"]));
    default:
      return undefined;
  }
}

/** One that cannot be loaded takes the process with it. */
function load(fields: Record<string, unknown>): string | undefined {
  const loaded = loadSnapshot(fields, { version, bodies: state.bodies });
  if ("fault" in loaded) {
    if (loaded.isFatal) setTimeout(() => process.exit(1), 10);
    return loaded.fault;
  }
  Object.assign(state, { ...loaded, started: true, deaf: 0, silent: 0 });
  state.paused = fields["resume_vm"] !== true;
  return listenForHost(String(state.bodies.get("PUT /vsock")?.["uds_path"]));
}

function refuseDrive(fields: Record<string, unknown>): string | undefined {
  if (typeof fields["path_on_host"] !== "string") return "a drive needs path_on_host";
  if (typeof fields["is_read_only"] !== "boolean") return "a drive needs is_read_only";
  if (fields["socket"] !== undefined) return "socket is for vhost-user drives only";
  const mode = fields["is_read_only"] ? constants.O_RDONLY : constants.O_RDWR;
  return cannotOpen(fields["path_on_host"], mode);
}

function performAction(action: string): string | undefined {
  // From 1.8 on, ACPI tells of the keyboard's interrupt; a guest that does not ask hears no keys.
  const isDeaf = isSince("1.8") && bootArgs().includes("i8042.nopnp");
  if (action === "SendCtrlAltDel" && !isDeaf)
    setTimeout(() => end("reboot: Restarting system\n"), 10);
  if (action !== "InstanceStart") return undefined;
  const source = state.bodies.get("PUT /boot-source");
  if (!source) return "Cannot start microvm without kernel configuration.";
  const magic = Buffer.alloc(4);
  const fd = openSync(String(source["kernel_image_path"]), "r");
  readSync(fd, magic, 0, 4, 0);
  closeSync(fd);
  if (magic.toString("latin1") !== "\x7fELF") return "Kernel Loader: Invalid Elf magic number";
  state.started = true;
  printOnConsole("guest console\n");
  return undefined;
}

/** The backing socket is there from the configuration on, and must not be there before. */
function listenForHost(path: string): string | undefined {
  if (existsSync(path)) return "Error binding to the host-side Unix socket: Address in use";
  createServer(serveHost).listen(path);
  return undefined;
}

function serveHost(socket: Socket): void {
  let text = "";
  let isConnected = false;
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    text += String(chunk);
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      if (isConnected) obey(socket, line);
      else isConnected = connectToGuest(socket, line);
    }
  });
}

function connectToGuest(socket: Socket, line: string): boolean {
  if (line === "CONNECT 1024" && state.silent-- > 0) return false;
  if (line !== "CONNECT 1024" || !state.started || state.deaf-- > 0) {
    socket.destroy();
    return false;
  }
  // The guest's greeting may come with the answer, in one piece.
  socket.write(`${plan.handshake ?? "OK 1073741824\n"}hello\n`);
  state.guests.add(socket);
  return true;
}

/** As guest-init.c does. */
function obey(socket: Socket, line: string): void {
  if (state.paused) {
    const timer = setInterval(() => {
      if (state.paused) return;
      clearInterval(timer);
      obey(socket, line);
    }, 5);
    return;
  }
  if (!state.guests.has(socket)) {
    socket.destroy();
    return;
  }
  if (line === "poweroff" || line === "reboot") {
    sayGoodbye(line);
    return;
  }
  if (line === "panic") end("Kernel panic - not syncing: Attempted to kill init!\n");
  if (line === "reset") end("");
  if (line === "crash") process.exit(148);
  if (line.startsWith("set ")) state.kept = line.slice(4);
  const disks = [...state.bodies.keys()].filter((name) => name.startsWith("PUT /drives/"));
  const answers: Record<string, string> = {
    cmdline: bootArgs(),
    get: state.kept,
    firmware: "0",
    disks: disks.map((_, index) => `vd${"abc"[index]}`).join(";"),
  };
  socket.write(`${line.startsWith("set ") ? "set" : (answers[line] ?? line)}\n`);
}

/** To whoever listens on the host's side, and ends once that was heard, or at once if nobody does. */
function sayGoodbye(word: string): void {
  const path = String(state.bodies.get("PUT /vsock")?.["uds_path"]);
  const socket = connect(`${path}_1025`, () => socket.write(`${word}\n`));
  const finish = (): void => end("reboot: Restarting system\n");
  socket.once("data", finish);
  socket.once("error", finish);
}

/** Whatever ends the guest resets it, and Firecracker's status is 0 each time. */
function end(lastPrinted: string): never {
  printOnConsole(lastPrinted);
  printInLog("Vmm is stopping.");
  printInLog("Firecracker exiting successfully. exit_code=0");
  process.exit(0);
}

/** In its output, unless the log is a file of its own. */
function printInLog(text: string): void {
  const line = `${new Date().toISOString()} [${flags.get("--id")}:main:INFO] ${text}\n`;
  const path = flags.get("--log-path");
  if (path) appendFileSync(path, line);
  else writeSync(1, line);
}

function printOnConsole(text: string): void {
  if (!bootArgs().includes("8250.nr_uarts=0")) writeSync(1, text);
}

function bootArgs(): string {
  return String(state.bodies.get("PUT /boot-source")?.["boot_args"]);
}

function fieldTooYoung(name: string, body: unknown): string | undefined {
  const young = Object.keys(objects[name] ?? {}).find((field) => {
    const isUsed = typeof body === "object" && body !== null && field in body;
    return isUsed && !isSince(fieldsSince[`${name}.${field}`]);
  });
  return young ? `unknown field \`${young}\`` : undefined;
}

function isSince(since: string | undefined): boolean {
  const minor = (text: string) => Number(text.split(".")[1]);
  return since === undefined || minor(version) >= minor(since);
}

function fault(message: string): Answer {
  return { status: 400, body: { fault_message: message } };
}

async function serve(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const text = await request.text();
  const name = `${request.method} ${pathname}`;
  const body = text === "" ? undefined : JSON.parse(text);
  const answer = misbehave(name, body) ?? answerTo(request.method, pathname, body);
  const journal = process.env["FAKE_JOURNAL"];
  if (journal) {
    const line = { request: name, body, status: answer.status, answer: answer.body };
    appendFileSync(journal, `${JSON.stringify(line)}\n`);
  }
  if (plan.hang === name) await new Promise(() => {});
  if (answer.status === 204) return new Response(null, { status: 204 });
  return Response.json(answer.body, { status: answer.status });
}

function misbehave(name: string, body: unknown): Answer | undefined {
  if (plan.crash === name) {
    console.error("thread 'fc_api' panicked at the request");
    process.exit(1);
  }
  const action = (body as Record<string, unknown> | undefined)?.["action_type"];
  const isMeant = plan.refuse === name || plan.refuse === `${name}:${action}`;
  return isMeant ? fault(plan.fault ?? "refused as planned") : undefined;
}

function main(): void {
  if (plan.crashAtStart) {
    console.error(plan.crashAtStart);
    process.exit(1);
  }
  const socket = flags.get("--api-sock") ?? "";
  if (plan.noSocket) {
    setInterval(() => {}, 1000);
    return;
  }
  if (existsSync(socket)) {
    console.error("Error: RunWithApi(FailedToBindSocket)");
    process.exit(1);
  }
  process.on("exit", () => existsSync(socket) && unlinkSync(socket));
  Bun.serve({ unix: socket, fetch: serve });
}

if (import.meta.main) main();
