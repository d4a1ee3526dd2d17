/** COPY and ADD: what the instruction asks for, and its files as entries of a layer. */
import { posix } from "node:path";
import { BangerError } from "#base/error.ts";
import type { WorkOptions } from "#images/pull.ts";
import type { StageConfig } from "./config.ts";
import { copyInto } from "./copy.ts";
import type { Instruction } from "./dockerfile.ts";
import { download } from "./download.ts";
import { execForm } from "./exec-form.ts";
import { refuseFlags } from "./flags.ts";
import { heredocOf, textOf } from "./heredoc.ts";
import type { LayerFile } from "./layer-file.ts";
import { atLine } from "./line-error.ts";
import { ownerOf, permissionsOf } from "./owner.ts";
import { pathOf, type Source, type SourceFile, textFile } from "./source.ts";
import type { StageView } from "./view.ts";
import { expandWord, plainWords } from "./words.ts";

export interface CopyStepDeps extends WorkOptions {
  layer: LayerFile;
  view: StageView;
  config: StageConfig;
  /** For files on their way. */
  scratch: string;
  /** The context, or what COPY --from names. */
  sourceOf: (instruction: Instruction) => Promise<Source>;
}

export async function copyStep(instruction: Instruction, deps: CopyStepDeps): Promise<void> {
  const { keyword, flags } = instruction;
  const { config, view } = deps;
  const isAdd = keyword === "ADD";
  refuseFlags(instruction, ["chown", "chmod", "link", isAdd ? "checksum" : "from"]);
  const words = execForm(instruction.rest) ?? plainWords(instruction.rest);
  const target = words.pop() ?? "";
  if (heredocOf(target)) throw atLine(instruction, "a here-document is no target");
  const chown = flags.get("chown");
  const chmod = flags.get("chmod");
  const { files, paths } = await inputsOf(instruction, words, deps);
  const source = await deps.sourceOf(instruction);
  await copyInto(deps.layer, view, {
    source,
    from: paths,
    files,
    to: absolute(config.workdir, pathOf(config.expand(instruction, target))),
    owner: chown === undefined ? undefined : ownerOf(config.expand(instruction, chown), view),
    mode: chmod === undefined ? undefined : permissionsOf(config.expand(instruction, chmod)),
    unpacks: isAdd,
    signal: deps.signal,
  });
}

/** Sources that are no paths: here-documents, and addresses. */
async function inputsOf(
  instruction: Instruction,
  words: readonly string[],
  deps: CopyStepDeps,
): Promise<{ files: { name: string; file: SourceFile }[]; paths: string[] }> {
  const files: { name: string; file: SourceFile }[] = [];
  const paths: string[] = [];
  for (const raw of words) {
    const mark = heredocOf(raw);
    // Of two with the same name, it is the last.
    const document = mark && instruction.heredocs.findLast(({ name }) => name === mark.name);
    if (document) {
      const content = textOf(document);
      const text = document.isExpanded ? expandDocument(content, deps.config) : content;
      files.push({ name: document.name, file: textFile(text) });
      continue;
    }
    const word = deps.config.expand(instruction, raw);
    if (/^https?:\/\//.test(word) && instruction.keyword === "ADD") {
      const checksum = instruction.flags.get("checksum");
      const { scratch: folder, signal, onProgress } = deps;
      files.push(await download(word, { folder, checksum, signal, onProgress }));
    } else if (/^(git@|git:\/\/)|\.git(#|$)/.test(word) && instruction.keyword === "ADD") {
      throw new BangerError("unsupported", `"${word}" is a repository, which ADD does not fetch`);
    } else paths.push(pathOf(word));
  }
  return { files, paths };
}

/** Quotes mean nothing in a here-document. */
function expandDocument(content: string, { words }: StageConfig): string {
  return expandWord(content, { ...words, escapeChar: "\\", ignoresQuotes: true });
}

/** Keeps the "/" at the end, which says that it is a folder. */
function absolute(workdir: string, target: string): string {
  const path = posix.resolve(pathOf(workdir), target);
  const isFolder = /(^|\/)\.{0,2}$/.test(target) && path !== "/";
  return isFolder ? `${path}/` : path;
}
