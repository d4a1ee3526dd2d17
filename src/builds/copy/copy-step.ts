/** COPY and ADD: parses the instruction and plans its layer. */
import { posix } from "node:path";
import type { NetworkMode } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { WorkOptions } from "#base/progress.ts";
import type { StageConfig } from "#builds/config.ts";
import { execForm } from "#builds/dockerfile/exec-form.ts";
import { heredocOf, textOf } from "#builds/dockerfile/heredoc.ts";
import type { Instruction } from "#builds/dockerfile/instruction.ts";
import { atLine } from "#builds/dockerfile/line-error.ts";
import { expandWord, plainWords } from "#builds/dockerfile/words.ts";
import { type GitAddress, gitAddressOf, shownAddress } from "#builds/git/address.ts";
import { checkOut, type GitCommit, type GitOptions, resolveRepository } from "#builds/git/git.ts";
import type { LayerFile } from "#builds/layer-file.ts";
import { type CopyInput, copyInto } from "./copy.ts";
import { download } from "./download.ts";
import { modeChangeOf, ownerOf } from "./owner.ts";
import { PatternList } from "./patterns.ts";
import { pathOf, type Source, textFile } from "./source.ts";
import { assertMayFetch } from "./url-policy.ts";
import { StageView } from "./view.ts";

export interface CopyStepDeps extends WorkOptions {
  view: StageView;
  config: StageConfig;
  /** Scratch directory. */
  scratch: string;
  /** Network of the build's machines, which also limits downloads. */
  network: NetworkMode | undefined;
  /** "HOST[:PORT]" of servers in private networks that ADD may fetch from. */
  privateHosts: readonly string[];
  /** The build context, or the source of COPY --from. */
  sourceOf: (instruction: Instruction) => Promise<Source>;
}

export interface CopyPlan {
  /** Identity of the files, if known in advance: the commits of repositories. */
  identity: string | undefined;
  copy(layer: LayerFile): Promise<void>;
}

/** A source that is not read until it is copied. */
type PlannedInput = CopyInput | { kind: "git"; found: GitCommit; options: GitOptions };

export async function planCopy(instruction: Instruction, deps: CopyStepDeps): Promise<CopyPlan> {
  const { keyword, flags, lists } = instruction;
  const { config, view, signal } = deps;
  const words = execForm(instruction.rest) ?? plainWords(instruction.rest);
  const target = words.pop() ?? "";
  if (heredocOf(target)) throw atLine(instruction, "a here-document cannot be the target");
  const flag = (name: string): string => config.expand(instruction, flags.get(name) ?? "");
  const chown = flag("chown");
  const chmod = flag("chmod");
  const exclude = lists.get("exclude") ?? [];
  const isLink = flags.get("link") === "true" && chmod === "";
  const planned = await inputsOf(instruction, words, deps);
  const request = {
    to: absolute(config.workdir, pathOf(config.expand(instruction, target))),
    owner: chown === "" ? undefined : ownerOf(chown, view),
    mode: chmod === "" ? undefined : modeChangeOf(chmod),
    unpacks: (flags.get("unpack") ?? String(keyword === "ADD")) === "true",
    parents: flags.get("parents") === "true",
    exclude: new PatternList(exclude),
    signal,
  };
  const commits = planned.map((input) => (input.kind === "git" ? identityOf(input) : undefined));
  const isKnown = commits.every((commit) => commit !== undefined);
  return {
    identity: isKnown
      ? JSON.stringify([commits, request.to, request.owner, chmod, exclude, isLink])
      : undefined,
    async copy(layer) {
      const inputs: CopyInput[] = [];
      for (const input of planned) {
        const isGit = input.kind === "git";
        const tree = isGit ? await checkOut(input.found, input.options) : undefined;
        inputs.push(isGit ? { kind: "tree", source: tree as Source } : input);
      }
      // --link does not depend on existing files.
      await copyInto(layer, isLink ? new StageView(undefined) : view, { ...request, inputs });
    },
  };
}

function identityOf({ found, options }: Extract<PlannedInput, { kind: "git" }>): string {
  const { address, commit, ref } = found;
  const { subdir, submodules } = address;
  const origin = options.keepGitDir ? [shownAddress(address.url), ref, found.object] : [];
  return JSON.stringify([commit, subdir, submodules, options.keepGitDir, ...origin]);
}

async function inputsOf(
  instruction: Instruction,
  words: readonly string[],
  deps: CopyStepDeps,
): Promise<PlannedInput[]> {
  const documents: PlannedInput[] = [];
  const inputs: PlannedInput[] = [];
  const { flags } = instruction;
  const expand = (text: string): string => deps.config.expand(instruction, text);
  const checksum = expand(flags.get("checksum") ?? "") || undefined;
  for (const raw of words) {
    const mark = heredocOf(raw);
    // The last of two with the same name wins.
    const document = mark && instruction.heredocs.findLast(({ name }) => name === mark.name);
    if (document) {
      const content = textOf(document);
      const text = document.isExpanded ? expandDocument(content, deps.config) : content;
      const name = pathOf(document.name);
      documents.push({ kind: "file", name, file: textFile(text), unpacks: false });
      continue;
    }
    const word = expand(raw);
    const repository = gitAddressOf(word);
    const isRemote = repository !== undefined || isAddress(word);
    if (checksum !== undefined) checkChecksum({ word, isOnly: words.length === 1, isRemote });
    if (isRemote && instruction.keyword !== "ADD") throw onlyAdd(word, repository !== undefined);
    if (repository) inputs.push(await repositoryInput(repository, { flags, checksum }, deps));
    else if (isRemote) inputs.push(await downloadInput(word, { flags, checksum }, deps));
    else {
      const source = await deps.sourceOf(instruction);
      inputs.push({ kind: "path", source, path: pathOf(word) });
    }
  }
  return [...inputs, ...documents];
}

interface RemoteFlags {
  flags: ReadonlyMap<string, string>;
  checksum: string | undefined;
}

async function downloadInput(
  address: string,
  { flags, checksum }: RemoteFlags,
  { scratch: folder, network, privateHosts, signal, onProgress }: CopyStepDeps,
): Promise<CopyInput> {
  assertMayFetch(address, network);
  if (checksum !== undefined && !/^sha256:[0-9a-f]{64}$/.test(checksum)) {
    throw new BangerError("invalid_argument", `invalid value for --checksum: "${checksum}"`, {
      hint: "Use sha256: followed by the 64 hex digits that sha256sum prints",
    });
  }
  const file = await download(address, { folder, privateHosts, checksum, signal, onProgress });
  return { kind: "file", ...file, unpacks: flags.get("unpack") === "true" };
}

/** Address and flags must agree. */
async function repositoryInput(
  address: GitAddress,
  { flags, checksum }: RemoteFlags,
  { scratch: folder, network, privateHosts, signal, onProgress }: CopyStepDeps,
): Promise<PlannedInput> {
  const keep = flags.get("keep-git-dir");
  const { keepGitDir = keep === "true" } = address;
  if (keep !== undefined && String(keepGitDir) !== keep) {
    throw new BangerError(
      "invalid_argument",
      "conflicting options: --keep-git-dir and the URL's own setting",
    );
  }
  if (checksum !== undefined && (address.checksum ?? checksum) !== checksum) {
    throw new BangerError(
      "invalid_argument",
      "conflicting options: --checksum and the URL's own checksum",
    );
  }
  const options = { folder, network, privateHosts, signal, onProgress, keepGitDir };
  const wanted = { ...address, checksum: address.checksum ?? checksum };
  return { kind: "git", found: await resolveRepository(wanted, options), options };
}

function isAddress(word: string): boolean {
  return /^https?:\/\//.test(word);
}

function onlyAdd(word: string, isRepository: boolean): BangerError {
  const what = isRepository ? "a repository" : "an address";
  return new BangerError("invalid_argument", `COPY does not support "${word}", which is ${what}`, {
    hint: "Use ADD instead",
  });
}

function checkChecksum(options: { word: string; isOnly: boolean; isRemote: boolean }): void {
  if (!options.isOnly) {
    throw new BangerError("invalid_argument", "--checksum requires a single source");
  }
  if (options.isRemote) return;
  throw new BangerError(
    "invalid_argument",
    `Cannot verify "${options.word}": --checksum requires a URL or git repository`,
  );
}

/** Quotes have no meaning in a here-document. */
function expandDocument(content: string, { words }: StageConfig): string {
  return expandWord(content, { ...words, escapeChar: "\\", ignoresQuotes: true });
}

/** Keeps a trailing "/", which marks a directory. */
function absolute(workdir: string, target: string): string {
  const path = posix.resolve(pathOf(workdir), target);
  const isFolder = /(^|\/)\.{0,2}$/.test(target) && path !== "/";
  return isFolder ? `${path}/` : path;
}
