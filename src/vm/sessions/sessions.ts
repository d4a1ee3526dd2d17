/** Sessions of all machines: started, found again after a daemon restart, and removed. */
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import type { Session as ApiSession, SessionStart } from "#api/session.ts";
import type { Vm } from "#api/vm.ts";
import { BangerError, messageOf } from "#base/error.ts";
import type { Agent } from "#guest/agent.ts";
import type { GuestAccess } from "#vm/guest-access.ts";
import { makeName } from "#vm/names.ts";
import { readRecord, recordFolders, type SessionRecord, writeRecord } from "./record.ts";
import { type Host, Session } from "./session.ts";

const log = getLogger(["banger", "session"]);

/** From the signal to the end of a session that is removed by force. */
const KILL_GRACE_MS = 5000;

/** The machines, as far as sessions need them. */
interface Machines {
  list(): Vm[];
  show(ref: string): Vm;
  readonly guests: Pick<GuestAccess, "agent" | "agentOnceAwake" | "prepareExec">;
}

export class Sessions {
  readonly #vms: Machines;
  readonly #folderOf: (vmId: string) => string;
  /** Those that run, by folder; of the others the disk knows all. */
  readonly #open = new Map<string, Session>();

  /** `folderOf`: where a machine's sessions are kept. */
  constructor(vms: Machines, folderOf: (vmId: string) => string) {
    this.#vms = vms;
    this.#folderOf = folderOf;
  }

  /** Of one machine or of all, by name. No guest is asked. */
  list(vm?: string): ApiSession[] {
    const vms = vm === undefined ? this.#vms.list() : [this.#vms.show(vm)];
    return vms.flatMap(({ id, name }) =>
      recordFolders(this.#folderOf(id))
        .sort()
        .map((folder) => this.#load(this.#hostOf(id, name), folder).toApi()),
    );
  }

  find(vm: string, session: string): Session {
    const { id, name } = this.#vms.show(vm);
    const folder = join(this.#folderOf(id), session);
    if (existsSync(folder)) return this.#load(this.#hostOf(id, name), folder);
    throw new BangerError("not_found", `no such session "${session}" in machine "${name}"`, {
      hint: `List its sessions with: banger vm session list ${name}`,
    });
  }

  /** `makesCwd`: a folder that is missing is made, as for the command that a machine is for. */
  async start(
    request: SessionStart & { makesCwd?: boolean },
    signal?: AbortSignal,
  ): Promise<ApiSession> {
    const { vm, session, ring_bytes, makesCwd, ...exec } = request;
    const { agent, command } = await this.#vms.guests.prepareExec(vm, exec, { signal, makesCwd });
    const { id, name: vmName } = this.#vms.show(vm);
    const sessions = this.#folderOf(id);
    const name = session ?? makeName((made) => existsSync(join(sessions, made)));
    const folder = join(sessions, name);
    if (existsSync(folder)) {
      throw new BangerError(
        "already_exists",
        `Cannot start session "${name}": the name is already in use`,
        {
          hint: `Use a different name, or remove it first: banger vm session rm ${vmName} ${name}`,
        },
      );
    }
    const record: SessionRecord = {
      name,
      argv: [...command.argv],
      user: command.user,
      terminal: command.tty !== undefined,
      state: "starting",
      startedAt: new Date().toISOString(),
    };
    writeRecord(folder, record);
    const started = new Session(this.#hostOf(id, vmName), folder, record);
    this.#open.set(folder, started);
    try {
      const ring = ring_bytes === undefined ? {} : { ring_bytes };
      const { pid } = await agent.sessions.start(name, { ...command, ...ring }, { signal });
      started.change({ state: "running", pid });
    } catch (error) {
      if (!(await isThere(agent, name))) {
        this.#forget(folder);
        throw error;
      }
    }
    this.#follow(started, folder);
    return started.toApi();
  }

  /** Those that run in a machine which came from memory, and of which nothing is known here. */
  async takeOver(vm: string, signal?: AbortSignal): Promise<void> {
    const { id, name: vmName } = this.#vms.show(vm);
    const host = this.#hostOf(id, vmName);
    const agent = await host.agent(signal);
    for (const { name, argv, pid, terminal, status } of await agent.sessions.list({ signal })) {
      if (status) continue;
      const folder = join(this.#folderOf(id), name);
      this.#forget(folder);
      const startedAt = new Date().toISOString();
      const record = { name, argv, terminal, state: "running" as const, pid, startedAt };
      writeRecord(folder, record);
      this.#load(host, folder);
    }
  }

  /** `force` kills what runs first, as far as the guest does it. */
  async remove(vm: string, name: string, options: { force?: boolean } = {}): Promise<void> {
    const session = this.find(vm, name);
    if (!session.isOver) {
      if (!options.force) {
        throw new BangerError("invalid_state", `Cannot remove session "${name}": it is running`, {
          hint: `Kill it first (banger vm session kill ${vm} ${name}), or use --force`,
        });
      }
      // A guest that does not answer, or says that the session goes on, does not keep it.
      const killed = session
        .signal("KILL")
        .then(() => session.ended)
        .catch((error) => log.warn("{name}: {message}", { name, message: messageOf(error) }));
      await Promise.race([killed, Bun.sleep(KILL_GRACE_MS)]);
    }
    this.#forget(join(this.#folderOf(this.#vms.show(vm).id), name));
  }

  /** Gives a session that is over another name, in the place of whatever has that. */
  renameOver(vm: string, { from, to }: { from: string; to: string }): void {
    const folder = this.#folderOf(this.#vms.show(vm).id);
    this.#forget(join(folder, to));
    this.#open.delete(join(folder, from));
    renameSync(join(folder, from), join(folder, to));
    writeRecord(join(folder, to), { ...readRecord(join(folder, to)), name: to });
  }

  /** Finds again those that an earlier daemon followed. */
  async resume(): Promise<void> {
    await Promise.all(
      this.#vms.list().map(async ({ id, name }) => {
        try {
          const host = this.#hostOf(id, name);
          const all = recordFolders(this.#folderOf(id)).map((folder) => this.#load(host, folder));
          if (all.some(({ isOver }) => isOver)) await this.#tidy(host, all);
        } catch (error) {
          log.warn("cannot find the sessions of {name}: {message}", {
            name,
            message: messageOf(error),
          });
        }
      }),
    );
  }

  /** Lets go of all without ending any. */
  release(): void {
    for (const session of this.#open.values()) session.release();
  }

  /** The guest need not keep what has ended, in case the daemon was killed before it could say so. */
  async #tidy(host: Host, sessions: readonly Session[]): Promise<void> {
    const isRunning = this.#vms.show(host.id).state === "running";
    const agent = isRunning ? await host.agent() : undefined;
    for (const { name, status } of (await agent?.sessions.list()) ?? []) {
      const known = sessions.find((each) => each.toApi().name === name);
      if (status && known?.isOver) await agent?.sessions.remove(name).catch(() => {});
    }
  }

  #load(host: Host, folder: string): Session {
    const known = this.#open.get(folder);
    if (known) return known;
    const session = new Session(host, folder, readRecord(folder));
    if (session.isOver) return session;
    this.#open.set(folder, session);
    this.#follow(session, folder);
    return session;
  }

  #follow(session: Session, folder: string): void {
    session
      .follow()
      .catch((error) => log.error("{message}", { message: messageOf(error) }))
      .finally(() => this.#open.delete(folder));
  }

  #forget(folder: string): void {
    this.#open.get(folder)?.release();
    this.#open.delete(folder);
    rmSync(folder, { recursive: true, force: true });
  }

  #hostOf(id: string, name: string): Host {
    return {
      id,
      name,
      agent: (signal) => this.#vms.guests.agent(id, "follow a session of", signal),
      agentOnceAwake: (signal) =>
        this.#vms.guests.agentOnceAwake(id, "follow a session of", signal),
    };
  }
}

async function isThere(agent: Agent, name: string): Promise<boolean> {
  return await agent.sessions.info(name).then(
    () => true,
    () => false,
  );
}
