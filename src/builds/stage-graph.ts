/** The dependencies between the stages of a Dockerfile: FROM, COPY --from and mounts. */
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import type { Dockerfile, Stage } from "#builds/dockerfile/dockerfile.ts";
import type { Instruction } from "#builds/dockerfile/instruction.ts";
import { atLine, wrapped } from "#builds/dockerfile/line-error.ts";
import { expandWord } from "#builds/dockerfile/words.ts";
import { mountedFrom } from "#builds/run/mounts.ts";
import { assertNoVariable, type BuildArgs } from "./config.ts";

export class StageGraph {
  readonly #file: Dockerfile;
  readonly #build: BuildArgs;

  constructor(file: Dockerfile, build: BuildArgs) {
    this.#file = file;
    this.#build = build;
  }

  target(target: string | undefined): Stage {
    const { stages } = this.#file;
    const stage = target === undefined ? stages.at(-1) : findTarget(stages, target);
    if (stage) return stage;
    const names = stages.flatMap(({ name }) => name ?? []);
    const all =
      names.length > 0
        ? `Stages: ${names.join(", ")}`
        : "No stage has a name: use FROM IMAGE AS NAME";
    throw new BangerError("not_found", `Cannot build: no stage "${target}" in the Dockerfile`, {
      hint: didYouMean(target ?? "", names, all),
    });
  }

  /** A stage and its dependencies, each once. */
  needed(stage: Stage, seen = new Set<Stage>()): Stage[] {
    if (seen.has(stage)) return [];
    seen.add(stage);
    const base = this.below(stage, this.baseName(stage));
    const used = stage.instructions.flatMap((each) => this.#used(stage, each));
    const below = base ? [base, ...used] : used;
    return [...below.flatMap((each) => this.needed(each, seen)), stage];
  }

  /** The earlier stage in FROM. */
  below(stage: Stage, name: string): Stage | undefined {
    const { stages } = this.#file;
    return findStage(stages.slice(0, stages.indexOf(stage)), name);
  }

  /** The earlier stages that the instruction copies from or mounts. */
  #used(stage: Stage, instruction: Instruction): Stage[] {
    const { keyword, flags, lists } = instruction;
    try {
      const copied = keyword === "COPY" ? flags.get("from") : undefined;
      if (copied !== undefined) assertNoVariable(instruction, "from");
      const names = [copied, ...(lists.get("mount") ?? []).map(mountedFrom)];
      return names.flatMap((name) => this.named(stage, { instruction, name }) ?? []);
    } catch (error) {
      throw wrapped(instruction, error);
    }
  }

  /** The earlier stage of that name, or for COPY number. Undefined for an image. */
  named(
    stage: Stage,
    { instruction, name }: { instruction: Instruction; name: string | undefined },
  ): Stage | undefined {
    const { stages } = this.#file;
    if (name === undefined) return undefined;
    const isNumber = instruction.keyword === "COPY" && /^\d+$/.test(name);
    const found = this.below(stage, name) ?? (isNumber ? stages[Number(name)] : undefined);
    const any = found ?? findStage(stages, name);
    if (!any && isNumber) throw atLine(instruction, `no such stage: ${name}`);
    if (any && stages.indexOf(any) >= stages.indexOf(stage)) {
      const problem = `stage "${name}" is defined later, in line ${any.line}`;
      throw atLine(instruction, problem);
    }
    return any;
  }

  baseName(stage: Stage): string {
    const name = this.word(stage, stage.base);
    if (name !== "") return name;
    throw atLine(stage, `FROM ${stage.base} expands to an empty image name`, {
      hint: "Set a default for the ARG before the first FROM, or pass --build-arg",
    });
  }

  /** Expands a word of FROM, which sees only ARGs before the first FROM. */
  word({ line }: { line: number }, word: string): string {
    const { globals } = this.#build;
    try {
      const { escapeChar } = this.#file;
      return expandWord(word, { escapeChar, lookup: (name) => globals.get(name) });
    } catch (error) {
      throw wrapped({ line }, error);
    }
  }
}

function findStage(stages: readonly Stage[], name: string): Stage | undefined {
  const key = name.toLowerCase();
  return stages.findLast((stage) => stage.name === key);
}

/** By name, or by number. */
function findTarget(stages: readonly Stage[], target: string): Stage | undefined {
  return findStage(stages, target) ?? (/^\d+$/.test(target) ? stages[Number(target)] : undefined);
}
