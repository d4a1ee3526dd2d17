/** Files, sockets and the tap of a machine, opened here: a QEMU that gets them needs no right to open anything. */
import { closeSync, constants, openSync } from "node:fs";
import type { BootSpec } from "#vmm/driver.ts";
import { listenAt } from "#vmm/jail/listen.ts";
import { INHERITED_FD } from "#vmm/process.ts";
import { openTap } from "#vmm/tap.ts";
import { type Handed, socketPaths } from "./command.ts";

/** Descriptors that a child will have. Disposing closes those that are this one's. */
export class Descriptors implements Disposable {
  readonly #fds: number[] = [];
  readonly #own: number[] = [];

  /** As this process has them, for the child's INHERITED_FD and following. */
  get fds(): readonly number[] {
    return this.#fds;
  }

  /** The child's number of one that is closed by somebody else. */
  lend(fd: number): number {
    this.#fds.push(fd);
    return INHERITED_FD + this.#fds.length - 1;
  }

  give(fd: number): number {
    this.#own.push(fd);
    return this.lend(fd);
  }

  [Symbol.dispose](): void {
    for (const fd of this.#own.splice(0)) closeSync(fd);
  }
}

/** Everything that a machine needs beside what it boots from. A tap in another namespace is opened by name there. */
export function handOver(spec: BootSpec, to: Descriptors): Handed {
  const { qmp, agent, goodbye } = socketPaths(spec.runtimeDir);
  const { O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_WRONLY } = constants;
  const { network } = spec;
  const isHere = network?.kind === "tap" && network.namespacePid === undefined;
  return {
    qmp: to.give(listenAt(qmp)),
    agent: to.give(listenAt(agent)),
    goodbye: to.give(listenAt(goodbye)),
    console: to.give(openSync(spec.consolePath, O_WRONLY | O_APPEND | O_CREAT, 0o600)),
    drives: spec.drives.map(({ path, readOnly }) =>
      to.give(openSync(path, readOnly ? O_RDONLY : O_RDWR)),
    ),
    tap: isHere ? to.give(openTap(network.tap)) : undefined,
  };
}
