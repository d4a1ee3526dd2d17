/** Sends the parts of a workspace that a machine lacks, in one archive: objects, files, then repository state. */
import { mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { type TreeEntry, TYPE_DIRECTORY, typeOf } from "#base/files/tree-records.ts";
import type { WorkOptions } from "#base/progress.ts";
import { makePack } from "#workspace/git/pack.ts";
import { existing, STATE_FILES, STATE_FOLDERS } from "#workspace/git/state.ts";
import { readSmallFiles } from "#workspace/guest/files.ts";
import { isMark, markItem, marksIn } from "#workspace/guest/mark.ts";
import type { GuestPort } from "#workspace/guest/port.ts";
import { joinName, parentOf } from "#workspace/names.ts";
import { signatureOf, type WorkspaceRecord } from "#workspace/record.ts";
import { HostView } from "./host-files.ts";
import { hostItem, textItem } from "./items.ts";
import type { Part } from "./part.ts";
import type { RepositoryPlan } from "./plan.ts";
import { type TarItem, tarOf } from "./tar-out.ts";

interface SendRequest {
  path: string;
  parts: readonly Part[];
  /** What is in the machine. */
  tree: ReadonlyMap<string, TreeEntry> | undefined;
  record: WorkspaceRecord | undefined;
  /** Of this import. */
  mark: string;
  scratch: string;
}

interface Sent {
  sentFiles: number;
  removedFiles: number;
  sent_bytes: number;
}

export async function sendWorkspace(
  guest: GuestPort,
  request: SendRequest,
  { signal, onProgress }: WorkOptions,
): Promise<Sent> {
  const { path, parts, tree = new Map<string, TreeEntry>(), scratch } = request;
  const sent: Sent = { sentFiles: 0, removedFiles: 0, sent_bytes: 0 };
  const packs: TarItem[] = [];
  for (const { plan } of parts) {
    if (plan) packs.push(...(await objectItems(guest, { path, plan, tree, scratch })));
  }
  const files: TarItem[] = [];
  for (const part of parts) {
    const view = new HostView(part.top);
    for (const file of part.found.files) {
      const name = joinName(part.name, file.name);
      const there = tree.get(name);
      if (there && signatureOf(there) === signatureOf(file)) continue;
      files.push({ kind: "host", path: view.bytes(file.name), entry: { ...file, name } });
    }
    for (const name of part.found.emptyDirectories) {
      files.push({ kind: "directory", name: joinName(part.name, name) });
    }
  }
  sent.sentFiles = files.length;
  for (const name of removals(request, tree)) {
    await guest.remove(path, name);
    if (!isMark(name) && !name.split("/").includes(".git")) sent.removedFiles++;
  }
  const state = parts.flatMap(({ plan }) => (plan ? [...stateItems(plan)] : []));
  const mark = markItem(request.mark, parts[0]?.plan !== undefined);
  await guest.mkdir(path);
  const message = `Sending ${basename(parts[0]?.top ?? path)}`;
  const chunks = tarOf([...packs, ...files, ...state, mark], {
    signal,
    onBytes(count) {
      sent.sent_bytes += count;
      onProgress?.({ step: "send", message, done: sent.sent_bytes, unit: "bytes" });
    },
  });
  await guest.extract(path, chunks);
  return sent;
}

async function objectItems(
  guest: GuestPort,
  input: {
    path: string;
    plan: RepositoryPlan;
    tree: ReadonlyMap<string, TreeEntry>;
    scratch: string;
  },
): Promise<TarItem[]> {
  const { path, plan, tree, scratch } = input;
  const gitDir = joinName(plan.name, ".git");
  const haves = await havesOf(guest, { path, plan, tree });
  const folder = join(scratch, `pack-${crypto.randomUUID()}`);
  mkdirSync(folder);
  const { tips, shallow } = plan;
  const items: TarItem[] = [];
  const made = await makePack(plan.repository, { tips, haves, shallow, folder });
  if (made) {
    const name = `${gitDir}/objects/pack/${basename(made.pack, ".pack")}`;
    const keep = `${[...plan.tips, ...boundaryOf(plan)].join("\n")}\n`;
    // A .keep file stops git from removing the pack, so objects that were sent stay there.
    items.push(hostItem(made.pack, `${name}.pack`), hostItem(made.idx, `${name}.idx`));
    if (plan.repository.isPartial) items.push(textItem(`${name}.promisor`, ""));
    items.push(textItem(`${name}.keep`, keep));
  }
  for (const object of plan.lfs) {
    const name = `${gitDir}/lfs/objects/${object}`;
    if (tree.has(name)) continue;
    items.push(hostItem(join(plan.repository.commonDir, "lfs/objects", object), name));
  }
  return items;
}

/** Objects reachable through packs of earlier imports that still exist. */
async function havesOf(
  guest: GuestPort,
  input: { path: string; plan: RepositoryPlan; tree: ReadonlyMap<string, TreeEntry> },
): Promise<string[]> {
  const { path, plan, tree } = input;
  const folder = `${joinName(plan.name, ".git")}/objects/pack/`;
  const keeps = [...tree.keys()].filter((name) => {
    const stem = name.slice(0, -".keep".length);
    return (
      name.startsWith(folder) &&
      name.endsWith(".keep") &&
      tree.has(`${stem}.pack`) &&
      tree.has(`${stem}.idx`)
    );
  });
  const boundary = boundaryOf(plan);
  const haves = new Set<string>();
  for (const text of (await readSmallFiles(guest, path, keeps)).values()) {
    const lines = text.toString("latin1").split("\n");
    const ends = lines.filter((line) => line.startsWith("shallow "));
    // With another end of the history, more or less of it is there.
    if (ends.join() !== boundary.join()) continue;
    for (const line of lines) if (/^[0-9a-f]{40,64}$/.test(line)) haves.add(line);
  }
  return await existing(plan.repository.git, [...haves]);
}

function boundaryOf({ shallow, state }: RepositoryPlan): string[] {
  const own = state.files.get("shallow");
  const ids = shallow ?? (own ? Buffer.from(own).toString("latin1").split("\n") : []);
  return ids
    .filter((id) => id !== "")
    .toSorted()
    .map((id) => `shallow ${id}`);
}

/** HEAD is the last: before it, there is no repository. */
function* stateItems({ name, state, indexFile }: RepositoryPlan): Generator<TarItem> {
  const gitDir = joinName(name, ".git");
  for (const folder of ["objects/info", "objects/pack", "refs/heads", "refs/tags"]) {
    yield { kind: "directory", name: `${gitDir}/${folder}` };
  }
  for (const [file, bytes] of state.files) {
    if (file !== "HEAD") yield { kind: "bytes", name: `${gitDir}/${file}`, bytes };
  }
  if (indexFile) yield hostItem(indexFile, `${gitDir}/index`);
  yield {
    kind: "bytes",
    name: `${gitDir}/HEAD`,
    bytes: state.files.get("HEAD") ?? Buffer.from(""),
  };
}

/** Files of an earlier import that are gone from the host, what is in the way, and state of git that is over. */
function removals({ parts, record }: SendRequest, tree: ReadonlyMap<string, TreeEntry>): string[] {
  const next = new Set<string>();
  const files = new Set<string>();
  const folders = new Set<string>();
  for (const { name, found } of parts) {
    for (const file of found.files) files.add(joinName(name, file.name));
    for (const file of [...found.files.map((entry) => entry.name), ...found.emptyDirectories]) {
      const full = joinName(name, file);
      next.add(full);
      for (let at = parentOf(full); at !== "" && !folders.has(at); at = parentOf(at))
        folders.add(at);
    }
  }
  const names = Object.keys(record?.files ?? {}).filter(
    (name) => tree.has(name) && !next.has(name),
  );
  names.push(...marksIn(tree).names);
  for (const [name, entry] of tree) {
    const isFolder = typeOf(entry) === TYPE_DIRECTORY;
    if (folders.has(name) && !isFolder) names.push(name);
    if (isFolder && files.has(name)) names.push(name);
  }
  for (const { plan } of parts) if (plan) names.push(...staleState(plan, tree));
  return [...new Set(names)];
}

function staleState(
  { name, state, indexFile }: RepositoryPlan,
  tree: ReadonlyMap<string, TreeEntry>,
): string[] {
  const gitDir = joinName(name, ".git");
  const own = (file: string): string => `${gitDir}/${file}`;
  const fixed = [
    ...STATE_FILES,
    ...STATE_FOLDERS,
    "shallow",
    ...(indexFile ? [] : ["index"]),
    "info/sparse-checkout",
    "info/attributes",
  ];
  const stale = fixed.filter((file) => tree.has(own(file)) && !state.files.has(file)).map(own);
  const loose = [...tree].filter(
    ([path, entry]) => path.startsWith(`${gitDir}/refs/`) && typeOf(entry) !== TYPE_DIRECTORY,
  );
  return [...stale, ...loose.map(([path]) => path)];
}
