/** COPY and ADD: what the instruction asks for, and its files as entries of a layer. */
import { posix } from "node:path";
import type { NetworkMode } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { WorkOptions } from "#images/pull.ts";
import type { StageConfig } from "./config.ts";
import { type CopyInput, copyInto } from "./copy.ts";
import type { Instruction } from "./dockerfile.ts";
import { download } from "./download.ts";
import { execForm } from "./exec-form.ts";
import { heredocOf, textOf } from "./heredoc.ts";
import type { LayerFile } from "./layer-file.ts";
import { atLine } from "./line-error.ts";
import { modeChangeOf, ownerOf } from "./owner.ts";
import { PatternList } from "./patterns.ts";
import { assertMayFetch } from "./reach.ts";
import { pathOf, type Source, textFile } from "./source.ts";
import { StageView } from "./view.ts";
import { expandWord, plainWords } from "./words.ts";

export interface CopyStepDeps extends WorkOptions {
  layer: LayerFile;
  view: StageView;
  config: StageConfig;
  /** For files on their way. */
  scratch: string;
  /** Of the build's machines, whose reach is that of the build. */
  network: NetworkMode | undefined;
  /** The context, or what COPY --from names. */
  sourceOf: (instruction: Instruction) => Promise<Source>;
}

export async function copyStep(instruction: Instruction, deps: CopyStepDeps): Promise<void> {
  const { keyword, flags, lists } = instruction;
  const { config, view } = deps;
  const words = execForm(instruction.rest) ?? plainWords(instruction.rest);
  const target = words.pop() ?? "";
  if (heredocOf(target)) throw atLine(instruction, "a here-document is no target");
  const flag = (name: string): string => config.expand(instruction, flags.get(name) ?? "");
  const chown = flag("chown");
  const chmod = flag("chmod");
  const inputs = await inputsOf(instruction, words, deps);
  // With --link, nothing of what is there already is looked at.
  const isApart = flags.get("link") === "true" && chmod === "";
  await copyInto(deps.layer, isApart ? new StageView(undefined) : view, {
    inputs,
    to: absolute(config.workdir, pathOf(config.expand(instruction, target))),
    owner: chown === "" ? undefined : ownerOf(chown, view),
    mode: chmod === "" ? undefined : modeChangeOf(chmod),
    unpacks: (flags.get("unpack") ?? String(keyword === "ADD")) === "true",
    parents: flags.get("parents") === "true",
    exclude: new PatternList(lists.get("exclude") ?? []),
    signal: deps.signal,
  });
}

async function inputsOf(
  instruction: Instruction,
  words: readonly string[],
  deps: CopyStepDeps,
): Promise<CopyInput[]> {
  const documents: CopyInput[] = [];
  const inputs: CopyInput[] = [];
  const { keyword, flags } = instruction;
  const isAdd = keyword === "ADD";
  const expand = (text: string): string => deps.config.expand(instruction, text);
  const checksum = expand(flags.get("checksum") ?? "") || undefined;
  for (const raw of words) {
    const mark = heredocOf(raw);
    // Of two with the same name, it is the last.
    const document = mark && instruction.heredocs.findLast(({ name }) => name === mark.name);
    if (document) {
      const content = textOf(document);
      const text = document.isExpanded ? expandDocument(content, deps.config) : content;
      const name = pathOf(document.name);
      documents.push({ kind: "file", name, file: textFile(text), unpacks: false });
      continue;
    }
    const word = expand(raw);
    if (checksum !== undefined) checkChecksum(checksum, { word, isOnly: words.length === 1 });
    if (isAddress(word)) {
      if (!isAdd) throw onlyAdd(`"${word}" is an address`);
      assertMayFetch(word, deps.network);
      const { scratch: folder, signal, onProgress } = deps;
      const file = await download(word, { folder, checksum, signal, onProgress });
      inputs.push({ kind: "file", ...file, unpacks: flags.get("unpack") === "true" });
    } else if (/^(git@|git:\/\/)|\.git(#|$)/.test(word) && isAdd) {
      throw new BangerError("unsupported", `"${word}" is a repository, which ADD does not fetch`);
    } else {
      const source = await deps.sourceOf(instruction);
      inputs.push({ kind: "path", source, path: pathOf(word) });
    }
  }
  return [...inputs, ...documents];
}

function isAddress(word: string): boolean {
  return /^https?:\/\//.test(word);
}

function onlyAdd(problem: string): BangerError {
  return new BangerError("invalid_argument", `${problem}, which COPY does not take`, {
    hint: "Use ADD, which downloads it",
  });
}

function checkChecksum(
  checksum: string,
  { word, isOnly }: { word: string; isOnly: boolean },
): void {
  if (!isOnly) throw new BangerError("invalid_argument", "More than one source for --checksum");
  if (!isAddress(word)) {
    throw new BangerError(
      "invalid_argument",
      `Cannot check "${word}": --checksum is for addresses and repositories`,
    );
  }
  if (!/^sha256:[0-9a-f]{64}$/.test(checksum)) {
    throw new BangerError("invalid_argument", `Invalid value for --checksum: "${checksum}"`, {
      hint: "Give sha256: and the 64 digits that sha256sum prints",
    });
  }
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
