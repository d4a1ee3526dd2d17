/** Runs one stage of a build, instruction by instruction. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { NetworkMode } from "#api/vm.ts";
import { throwIfAborted } from "#base/abort.ts";
import { sha256 } from "#base/digest.ts";
import type { WorkOptions } from "#base/progress.ts";
import { makeFolders } from "#builds/copy/copy.ts";
import { planCopy } from "#builds/copy/copy-step.ts";
import { userOf } from "#builds/copy/owner.ts";
import { pathOf, type Source } from "#builds/copy/source.ts";
import type { StageView } from "#builds/copy/view.ts";
import type { Instruction } from "#builds/dockerfile/instruction.ts";
import { wrapped } from "#builds/dockerfile/line-error.ts";
import type { BuildMachine } from "#builds/run/machines.ts";
import { runStep } from "#builds/run/run-step.ts";
import { StageMachine } from "#builds/run/stage-machine.ts";
import type { HistoryEntry } from "#images/records.ts";
import type { BuildCache } from "./cache.ts";
import type { StageConfig } from "./config.ts";
import { type BuiltLayer, LayerFile } from "./layer-file.ts";

const CREATED_BY_MAX_CHARS = 4096;
const LABEL_CHARS = 60;

export interface StageDeps extends WorkOptions {
  cache: BuildCache;
  /** Scratch directory, removed after the build. */
  scratch: string;
  usesCache: boolean;
  network: NetworkMode | undefined;
  privateHosts: readonly string[];
  /** Starts a machine of the stage's current files. */
  startMachine: (stage: StageRun, work: WorkOptions) => Promise<BuildMachine>;
  /** The context, or the stage or image of `--from`. */
  sourceOf: (instruction: Instruction, from?: string) => Promise<Source>;
  /** By their ids. */
  secrets: ReadonlyMap<string, Uint8Array>;
  /** Sockets by their ids. */
  sshAgents: ReadonlyMap<string, string>;
  /** Cache entries held by this build, released at its end. */
  held: string[];
}

export interface StageStart {
  name: string;
  /** Identity of the stage's files. */
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

  /** `label` identifies the step in progress messages. */
  async step(instruction: Instruction, label: string): Promise<void> {
    throwIfAborted(this.#deps.signal);
    const trigger = instruction.isTrigger ? "ONBUILD " : "";
    const title = `${label} ${trigger}${instruction.text}`.slice(0, LABEL_CHARS);
    // A command is reported when its machine is up.
    if (!/^(RUN|SCRIPT)$/.test(instruction.keyword)) this.#report(title);
    try {
      await this.#execute(instruction, title);
    } catch (error) {
      throw wrapped(instruction, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine?.[Symbol.asyncDispose]();
    this.#machine = undefined;
  }

  async #execute(instruction: Instruction, title: string): Promise<void> {
    const { keyword } = instruction;
    if (this.config.apply(instruction)) {
      this.key = sha256(JSON.stringify([this.key, instruction.text, instruction.heredocs]));
      if (keyword !== "ONBUILD") this.#addHistory(instruction.text, true);
    } else if (keyword === "RUN" || keyword === "SCRIPT") await this.#run(instruction, title);
    else if (keyword === "WORKDIR") await this.#workdir(instruction);
    else await this.#copy(instruction);
  }

  async #run(instruction: Instruction, title: string): Promise<void> {
    const { signal, onProgress, scratch, usesCache } = this.#deps;
    const step = await runStep(instruction, { ...this.#deps, config: this.config });
    const { createdBy } = step;
    const key = this.#stepKey(["RUN", step.key]);
    const cached = this.#machine || !usesCache ? undefined : this.#cached(key);
    if (cached) {
      this.#report(`${title} (cached)`);
      await this.#add(cached, { key, createdBy });
      return;
    }
    const machine = await this.#ready();
    this.#report(title);
    await step.run(machine, {
      onOutput: (line, lines) => {
        const message = `${title}: ${line}`;
        onProgress?.({ step: title, message, lines: lines.length > 0 ? lines : undefined });
      },
    });
    const layer = await machine.changes(scratch, signal);
    await this.#add(this.#store(key, layer, createdBy), { key, createdBy });
  }

  async #workdir(instruction: Instruction): Promise<void> {
    const path = this.config.setWorkdir(instruction);
    this.key = sha256(JSON.stringify([this.key, "WORKDIR", path]));
    const createdBy = `WORKDIR ${path}`;
    const place = this.view.resolve(pathOf(path));
    if (place.kind === "directory") {
      this.#addHistory(createdBy, true);
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
    const cached = key && this.#deps.usesCache ? this.#cached(key) : undefined;
    if (key && cached) {
      await this.#addBuilt(cached, { key, createdBy });
      return;
    }
    using file = new LayerFile(this.#scratchFile());
    await plan.copy(file);
    await this.#addFiles(file, { key, createdBy });
  }

  /** Finishes the layer of a step without a machine. Without a key, its content is the key. */
  async #addFiles(file: LayerFile, step: { key?: string | undefined; createdBy: string }) {
    const { createdBy, key = this.#stepKey(["FILES", file.contentKey()]) } = step;
    const made = file.finish();
    const cached = this.#deps.usesCache ? this.#cached(key) : undefined;
    // Files that differ only in times keep the step key, so later steps stay cached.
    if (cached) rmSync(made.path);
    await this.#addBuilt(cached ?? this.#store(key, made, createdBy), { key, createdBy });
  }

  /** Also extracts it in the machine, if it runs. */
  async #addBuilt(layer: BuiltLayer, step: { key: string; createdBy: string }): Promise<void> {
    const takesAway = await this.#add(layer, step);
    // Deletions are not applied to the machine: the next command gets a new one.
    if (takesAway) await this[Symbol.asyncDispose]();
    else await this.#machine?.addLayer(layer, this.#deps.signal);
  }

  /** Returns whether the layer deletes files. */
  async #add(layer: BuiltLayer, step: { key: string; createdBy: string }): Promise<boolean> {
    const takesAway = await this.view.add(layer);
    this.layers.push(layer);
    this.key = step.key;
    this.#addHistory(step.createdBy, false);
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

  #cached(key: string): BuiltLayer | undefined {
    const layer = this.#deps.cache.find(nameOf(key));
    if (layer) this.#deps.held.push(nameOf(key));
    return layer;
  }

  #store(key: string, layer: BuiltLayer, createdBy: string): BuiltLayer {
    const kept = this.#deps.cache.store(nameOf(key), layer, createdBy);
    this.#deps.held.push(kept.hold);
    return kept.layer;
  }

  #scratchFile(): string {
    return join(this.#deps.scratch, `${crypto.randomUUID()}.tar`);
  }

  #addHistory(createdBy: string, isEmptyLayer: boolean): void {
    const created = new Date().toISOString();
    const text = createdBy.slice(0, CREATED_BY_MAX_CHARS);
    this.history.push({ created, createdBy: text, comment: "banger image build", isEmptyLayer });
  }

  #report(title: string): void {
    this.#deps.onProgress?.({ step: title, message: title });
  }
}

/** A digest as a directory name. */
function nameOf(key: string): string {
  return key.replace(/^sha256:/, "");
}
