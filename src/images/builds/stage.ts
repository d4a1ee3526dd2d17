/** One stage of a build: what its instructions have made so far, and how each goes on from there. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { NetworkMode } from "#api/vm.ts";
import { sha256 } from "#base/digest.ts";
import { BangerError, throwIfAborted } from "#base/error.ts";
import type { WorkOptions } from "#images/pull.ts";
import type { HistoryEntry } from "#images/records.ts";
import type { BuildCache } from "./cache.ts";
import type { StageConfig } from "./config.ts";
import { makeFolders } from "./copy.ts";
import { planCopy } from "./copy-step.ts";
import type { Instruction } from "./dockerfile.ts";
import { execForm } from "./exec-form.ts";
import { refuseFlags } from "./flags.ts";
import { heredocOf, textOf } from "./heredoc.ts";
import { type BuiltLayer, LayerFile } from "./layer-file.ts";
import { wrapped } from "./line-error.ts";
import { StageMachine } from "./machine-of-stage.ts";
import type { BuildMachine, RunRequest, RunStatus } from "./machines.ts";
import { OutputTail } from "./output.ts";
import { userOf } from "./owner.ts";
import { pathOf, type Source } from "./source.ts";
import type { StageView } from "./view.ts";

/** On a file system of the machine's memory. */
const SCRIPT_PATH = "/dev/shm/banger-build";
const CREATED_BY_MAX_CHARS = 4096;
const LABEL_CHARS = 60;

export interface StageDeps extends WorkOptions {
  cache: BuildCache;
  /** For files on their way; removed with all that is in it. */
  scratch: string;
  usesCache: boolean;
  network: NetworkMode | undefined;
  /** A machine of the files that the stage has now. */
  startMachine: (stage: StageRun, work: WorkOptions) => Promise<BuildMachine>;
  /** The context, or what COPY --from names. */
  sourceOf: (instruction: Instruction) => Promise<Source>;
  /** Steps of this build that were taken or kept, to be released at its end. */
  held: string[];
}

export interface StageStart {
  name: string;
  /** What the files of the stage follow from. */
  key: string;
  config: StageConfig;
  view: StageView;
  layers: readonly BuiltLayer[];
  history: readonly HistoryEntry[];
}

export class StageRun implements AsyncDisposable {
  readonly name: string;
  readonly config: StageConfig;
  readonly view: StageView;
  readonly layers: BuiltLayer[];
  readonly history: HistoryEntry[];
  key: string;
  readonly #deps: StageDeps;
  #machine: StageMachine | undefined;

  constructor(start: StageStart, deps: StageDeps) {
    this.name = start.name;
    this.key = start.key;
    this.config = start.config;
    this.view = start.view;
    this.layers = [...start.layers];
    this.history = [...start.history];
    this.#deps = deps;
  }

  /** `label` tells people which step it is. */
  async step(instruction: Instruction, label: string): Promise<void> {
    throwIfAborted(this.#deps.signal);
    const trigger = instruction.isTrigger ? "ONBUILD " : "";
    const title = `${label} ${trigger}${instruction.text}`.slice(0, LABEL_CHARS);
    this.#report(title);
    try {
      await this.#carryOut(instruction, title);
    } catch (error) {
      throw wrapped(instruction, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine?.[Symbol.asyncDispose]();
    this.#machine = undefined;
  }

  async #carryOut(instruction: Instruction, title: string): Promise<void> {
    const { keyword } = instruction;
    if (this.config.apply(instruction)) {
      this.key = sha256(JSON.stringify([this.key, instruction.text, instruction.heredocs]));
      if (keyword !== "ONBUILD") this.#remember(instruction.text, true);
    } else if (keyword === "RUN") await this.#run(instruction, title);
    else if (keyword === "SCRIPT") await this.#script(instruction, title);
    else if (keyword === "WORKDIR") await this.#workdir(instruction);
    else await this.#copy(instruction);
  }

  async #run(instruction: Instruction, title: string): Promise<void> {
    refuseFlags(instruction, []);
    const { rest, heredocs } = instruction;
    const [document] = heredocs;
    const strings = execForm(rest);
    const script = document && heredocOf(rest) ? textOf(document) : undefined;
    const createdBy = (argv: readonly string[]) => `RUN ${argv.join(" ")}`;
    if (script?.startsWith("#!")) {
      const argv = [...this.config.shell, SCRIPT_PATH];
      const input = { argv, script };
      await this.#execute(input, { title, createdBy: createdBy([...this.config.shell, script]) });
      return;
    }
    // The shell reads the here-documents of its own command.
    const bodies = heredocs.map(({ content, name }) => `${content}${name}`);
    const command = script ?? [rest, ...bodies].join("\n");
    const argv = strings ?? [...this.config.shell, command];
    await this.#execute({ argv }, { title, createdBy: createdBy(argv) });
  }

  async #script(instruction: Instruction, title: string): Promise<void> {
    const script = instruction.script ?? "";
    const argv = script.startsWith("#!") ? [SCRIPT_PATH] : ["/bin/sh", SCRIPT_PATH];
    // It sets a machine up, whoever the image's own command runs as.
    await this.#execute({ argv, script, user: "0:0" }, { title, createdBy: instruction.text });
  }

  async #execute(
    command: { argv: readonly string[]; script?: string; user?: string },
    { title, createdBy }: { title: string; createdBy: string },
  ): Promise<void> {
    const { workdir } = this.config;
    const user = command.user ?? (this.config.config.user || undefined);
    const env = this.config.environment();
    const step = { argv: command.argv, env, cwd: workdir, user };
    const key = this.#stepKey(["RUN", step, command.script ?? ""]);
    const request: RunRequest = { ...step, env: { ...this.config.proxies(), ...env } };
    const cached = this.#machine || !this.#deps.usesCache ? undefined : this.#taken(key);
    if (cached) {
      this.#report(`${title} (cached)`);
      await this.#add(cached, { key, createdBy });
      return;
    }
    const machine = await this.#ready();
    const { signal, onProgress } = this.#deps;
    if (command.script !== undefined) {
      await machine.place(SCRIPT_PATH, new TextEncoder().encode(command.script), signal);
    }
    const output = new OutputTail();
    // The step of its name was over when the machine's first one began.
    const running = `${title} runs`;
    this.#report(title, running);
    const status = await machine.run(request, {
      signal,
      onOutput: (bytes) => {
        const lines = output.add(bytes);
        const message = `${title}: ${output.lastLine()}`;
        onProgress?.({ step: running, message, ...(lines.length > 0 ? { lines } : {}) });
      },
    });
    if (!("code" in status) || status.code !== 0) throw failed(status, output);
    const layer = await machine.changes(this.#deps.scratch, signal);
    await this.#add(this.#kept(key, layer, createdBy), { key, createdBy });
  }

  async #workdir(instruction: Instruction): Promise<void> {
    const path = this.config.setWorkdir(instruction);
    this.key = sha256(JSON.stringify([this.key, "WORKDIR", path]));
    const createdBy = `WORKDIR ${path}`;
    const place = this.view.resolve(pathOf(path));
    if (place.kind === "directory") {
      this.#remember(createdBy, true);
      return;
    }
    using file = new LayerFile(this.#scratchFile());
    const { user } = this.config.config;
    const owner = user ? userOf(user, this.view) : undefined;
    makeFolders(file, this.view, { path: place.path, owner });
    await this.#addFiles(file, { createdBy });
  }

  async #copy(instruction: Instruction): Promise<void> {
    const { view, config } = this;
    const createdBy = instruction.text;
    const plan = await planCopy(instruction, { ...this.#deps, view, config });
    const key = plan.identity && this.#stepKey(["REPOSITORY", plan.identity]);
    const cached = key && this.#deps.usesCache ? this.#taken(key) : undefined;
    if (key && cached) {
      await this.#addMade(cached, { key, createdBy });
      return;
    }
    using file = new LayerFile(this.#scratchFile());
    await plan.copy(file);
    await this.#addFiles(file, { key, createdBy });
  }

  /** Ends the layer of a step that needed no machine. Without a key, its content is the key. */
  async #addFiles(file: LayerFile, step: { key?: string | undefined; createdBy: string }) {
    const { createdBy, key = this.#stepKey(["FILES", file.contentKey()]) } = step;
    const made = file.finish();
    const cached = this.#deps.usesCache ? this.#taken(key) : undefined;
    // The same files with other times are the same step: what follows from it stays valid.
    if (cached) rmSync(made.path);
    await this.#addMade(cached ?? this.#kept(key, made, createdBy), { key, createdBy });
  }

  /** Tells the machine, if there is one. */
  async #addMade(layer: BuiltLayer, step: { key: string; createdBy: string }): Promise<void> {
    const takesAway = await this.#add(layer, step);
    // A machine is not told what goes: the next command gets one that is made of the layers.
    if (takesAway) await this[Symbol.asyncDispose]();
    else await this.#machine?.take(layer, this.#deps.signal);
  }

  /** Gives whether the layer takes away anything of those below. */
  async #add(layer: BuiltLayer, step: { key: string; createdBy: string }): Promise<boolean> {
    const takesAway = await this.view.add(layer);
    this.layers.push(layer);
    this.key = step.key;
    this.#remember(step.createdBy, false);
    return takesAway;
  }

  async #ready(): Promise<StageMachine> {
    const { signal } = this.#deps;
    this.#machine ??= await StageMachine.start(
      () => this.#deps.startMachine(this, this.#deps),
      signal,
    );
    return this.#machine;
  }

  #stepKey(parts: readonly unknown[]): string {
    return sha256(JSON.stringify([this.key, this.layers.at(-1)?.diffId ?? "", ...parts]));
  }

  #taken(key: string): BuiltLayer | undefined {
    const layer = this.#deps.cache.take(nameOf(key));
    if (layer) this.#deps.held.push(nameOf(key));
    return layer;
  }

  #kept(key: string, layer: BuiltLayer, createdBy: string): BuiltLayer {
    const kept = this.#deps.cache.keep(nameOf(key), layer, createdBy);
    this.#deps.held.push(kept.hold);
    return kept.layer;
  }

  #scratchFile(): string {
    return join(this.#deps.scratch, `${crypto.randomUUID()}.tar`);
  }

  #remember(createdBy: string, isEmptyLayer: boolean): void {
    const created = new Date().toISOString();
    const text = createdBy.slice(0, CREATED_BY_MAX_CHARS);
    this.history.push({ created, createdBy: text, comment: "banger image build", isEmptyLayer });
  }

  #report(message: string, step = message): void {
    this.#deps.onProgress?.({ step, message });
  }
}

/** A digest as a folder's name. */
function nameOf(key: string): string {
  return key.replace(/^sha256:/, "");
}

function failed(status: RunStatus, output: OutputTail): BangerError {
  const how = "code" in status ? `exit status ${status.code}` : `signal ${status.signal}`;
  const said = output.end();
  const message = `the command ended with ${how}`;
  return new BangerError("guest", said ? `${message}:\n${said}` : `${message} and printed nothing`);
}
