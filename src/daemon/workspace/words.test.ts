import { expect, test } from "bun:test";
import {
  workspaceCheckpointMake,
  workspaceDiff,
  workspaceImport,
  workspaceRef,
} from "#api/workspace/workspace.ts";
import { parseCommand } from "#cli/parse.ts";
import { parseWorkspace } from "#cli/workspace/import.ts";
import { checkpointWords, diffWords, exportWords, importWords, refWord } from "./words.ts";

const ID = "cm231hnswh8e";
const argsOf = (words: string[]) =>
  parseCommand(["vm", "workspace", ...words, "--json"]).invocation;

test("a path goes with its machine", () => {
  expect(refWord(ID, {})).toBe(ID);
  expect(refWord(ID, { path: "/srv/a b" })).toBe(`${ID}:/srv/a b`);
});

test("no path names another machine, the root, or more than it is", () => {
  for (const path of ["", "/", "srv", "../x", "/a\0b", "/a:/b", "//"]) {
    expect(workspaceRef.safeParse({ name: "web", path }).success, path).toBe(false);
  }
});

test("a source is a path of the host, whatever is in it", () => {
  for (const source of ["/home/u/--force", "/home/u/a:b", "/home/u/c:/d"]) {
    const words = importWords(ID, workspaceImport.parse({ name: "web", source, path: "/srv/x" }));
    expect(parseWorkspace(words[2] ?? "")).toEqual({ source, path: "/srv/x" });
    expect(argsOf(words)?.flags["force"]).toBe(false);
  }
  expect(workspaceImport.safeParse({ name: "web", source: "--force" }).success).toBe(false);
  const forced = importWords(ID, { name: "web", source: "/src", force: true });
  expect(argsOf(forced)?.flags["force"]).toBe(true);
});

test("what is compared is as the client asks", () => {
  const of = (input: object) =>
    argsOf(diffWords(ID, workspaceDiff.parse({ name: "web", ...input })));
  expect(of({})?.args).toMatchObject({ workspace: ID, from: undefined, to: undefined });
  expect(of({ from: "1", to: 3 })?.args).toMatchObject({ from: "1", to: "3" });
  expect(workspaceDiff.safeParse({ name: "web", to: 3 }).success).toBe(false);
  expect(of({ head: "true" })?.flags).toMatchObject({ head: true, patch: true, staged: false });
  expect(workspaceDiff.safeParse({ name: "web", from: "--stat" }).success).toBe(false);
});

test("a message and a file are no options", () => {
  const { message } = workspaceCheckpointMake.parse({ name: "web", message: "--every=1s" });
  const { flags } = argsOf(checkpointWords(ID, { name: "web", message })) ?? { flags: {} };
  expect(flags).toMatchObject({ message: "--every=1s", every: undefined });
  const format = "bundle";
  expect(argsOf(exportWords(ID, { name: "web", format }, "/tmp/x"))?.flags).toMatchObject({
    bundle: true,
    tar: false,
    patch: false,
  });
});
