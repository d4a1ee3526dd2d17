/** COPY and ADD: what the instruction asks for, and its files as entries of a layer. */
import { posix } from "node:path";
import { BangerError } from "#base/error.ts";
import type { WorkOptions } from "#images/pull.ts";
import type { StageConfig } from "./config.ts";
import { copyInto } from "./copy.ts";
import { execForm, type Instruction } from "./dockerfile.ts";
import { download } from "./download.ts";
import { refuseFlags } from "./flags.ts";
import type { LayerFile } from "./layer-file.ts";
import { ownerOf, permissionsOf } from "./owner.ts";
import { pathOf, type Source, type SourceFile, textFile } from "./source.ts";
import type { StageView } from "./view.ts";
import { expandWord, splitWords } from "./words.ts";

export interface CopyStepDeps extends WorkOptions {
  layer: LayerFile;
  view: StageView;
  config: StageConfig;
  /** For files on their way. */
  scratch: string;
  /** The context, or what COPY --from names. */
  sourceOf: (from: string | undefined) => Promise<Source>;
}

export async function copyStep(instruction: Instruction, deps: CopyStepDeps): Promise<void> {
  const { keyword, flags } = instruction;
  const { config, view } = deps;
  const isAdd = keyword === "ADD";
  const known = isAdd ? ["chown", "chmod", "link", "checksum"] : ["chown", "chmod", "link", "from"];
  refuseFlags(instruction, Object.fromEntries(known.map((name) => [name, undefined])));
  const words = copyWords(instruction, config);
  const target = words.pop();
  if (target === undefined || words.length === 0) {
    throw new BangerError("invalid_argument", `${keyword} takes at least one source, and a target`);
  }
  const chown = flags.get("chown");
  const chmod = flags.get("chmod");
  const from = flags.get("from");
  const { files, paths } = await inputsOf(instruction, words, deps);
  const source = await deps.sourceOf(from && config.expand(instruction, from));
  await copyInto(deps.layer, view, {
    source,
    from: paths,
    files,
    to: absolute(config.workdir, target),
    owner: chown === undefined ? undefined : ownerOf(config.expand(instruction, chown), view),
    mode: chmod === undefined ? undefined : permissionsOf(config.expand(instruction, chmod)),
    unpacks: isAdd,
    signal: deps.signal,
  });
}

function copyWords(instruction: Instruction, { words }: StageConfig): string[] {
  const strings = execForm(instruction.rest);
  const raw = strings ?? splitWords(instruction.rest, words.escapeChar);
  return raw.map((word) => pathOf(strings ? word : expandWord(word, words)));
}

/** Sources that are no paths: here-documents, and addresses. */
async function inputsOf(
  instruction: Instruction,
  words: readonly string[],
  deps: CopyStepDeps,
): Promise<{ files: { name: string; file: SourceFile }[]; paths: string[] }> {
  const files: { name: string; file: SourceFile }[] = [];
  const paths: string[] = [];
  for (const word of words) {
    const mark = /^<<-?["']?(\w+)["']?$/.exec(word)?.[1];
    const document = instruction.heredocs.find(({ name }) => name === mark);
    if (document) {
      const { content, isExpanded } = document;
      const text = isExpanded ? expandDocument(content, deps.config) : content;
      files.push({ name: document.name, file: textFile(text) });
    } else if (/^https?:\/\//.test(word) && instruction.keyword === "ADD") {
      const checksum = instruction.flags.get("checksum");
      const { scratch: folder, signal, onProgress } = deps;
      files.push(await download(word, { folder, checksum, signal, onProgress }));
    } else if (/^(git@|git:\/\/)|\.git(#|$)/.test(word) && instruction.keyword === "ADD") {
      throw new BangerError("unsupported", `"${word}" is a repository, which ADD does not fetch`);
    } else paths.push(word);
  }
  return { files, paths };
}

/** Quotes mean nothing in a here-document. */
function expandDocument(content: string, { words }: StageConfig): string {
  const quoted = content.replace(/["']/g, (quote) => `${words.escapeChar}${quote}`);
  return expandWord(quoted, words);
}

/** Keeps the "/" at the end, which says that it is a folder. */
function absolute(workdir: string, target: string): string {
  const path = posix.resolve(pathOf(workdir), target);
  const isFolder = /(^|\/)\.{0,2}$/.test(target) && path !== "/";
  return isFolder ? `${path}/` : path;
}
