import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestRepository } from "#test/git-server.ts";
import { gitIn } from "#test/workspace-compare.ts";
import { folderGuest } from "#test/workspace-folder.ts";
import { importWorkspace } from "#workspace/in/import.ts";
import { openWorkspace } from "#workspace/open.ts";
import { readRecord } from "#workspace/record.ts";
import { exportBundle } from "./export.ts";

test("git clones a bundle at the machine's branch, with what is not committed beside it", async () => {
  const place = mkdtempSync(join(tmpdir(), "banger-export-"));
  try {
    const at = (name: string): string => join(place, name);
    const repo = new TestRepository(at("repo"));
    repo.commit({ "a.txt": "a\n" });
    const guest = folderGuest(at("guest"));
    const own = { path: "/w", folder: at("record"), source: repo.path };
    await importWorkspace(guest, { vm: "vm", ...own });
    writeFileSync(guest.at("/w/a.txt"), "changed\n");
    const request = { ...own, record: readRecord(own.folder), max_bytes: 2 ** 20 };
    using workspace = await openWorkspace(guest, request);
    const [capture] = workspace.repositories;
    if (!capture) throw new Error("no repository");
    await exportBundle(capture, at("work.bundle"));
    gitIn(place, "-c", "protocol.allow=always", "clone", "--quiet", at("work.bundle"), "clone");
    expect(gitIn(at("clone"), "symbolic-ref", "HEAD").stdout).toBe("refs/heads/main\n");
    expect(readFileSync(at("clone/a.txt"), "utf8")).toBe("a\n");
    const heads = gitIn(place, "bundle", "list-heads", at("work.bundle")).stdout;
    expect(heads).toContain("refs/banger/worktree");
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
});
