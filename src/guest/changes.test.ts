/** Watching a path through the real agent, which is built with the sanitizers and runs on this computer. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentFixture, codeOf } from "#test/guest-fixture.ts";
import type { PathChange } from "./changes.ts";

const fixture = agentFixture();

/** Reads until the change has come; gives all, as "kind path". */
async function until(changes: AsyncGenerator<PathChange>, last: string): Promise<string[]> {
  const seen: string[] = [];
  for (;;) {
    const { value, done } = await changes.next();
    if (done) return seen;
    seen.push(`${value.kind} ${value.path}${value.isFolder ? "/" : ""}`);
    if (seen.at(-1) === last) return seen;
  }
}

test("watch() tells what is made, written, moved and removed, in new folders too", async () => {
  const folder = mkdtempSync(join(fixture.folder, "w-"));
  mkdirSync(join(folder, "sub"));
  const changes = fixture.agent.watch(folder, { recursive: true });
  await until(changes, `ready ${folder}`);
  writeFileSync(join(folder, "sub/file"), "text");
  expect(await until(changes, `changed ${folder}/sub/file`)).toContain(
    `created ${folder}/sub/file`,
  );
  mkdirSync(join(folder, "new/deep"), { recursive: true });
  await until(changes, `created ${folder}/new/deep/`);
  writeFileSync(join(folder, "new/deep/file"), "text");
  await until(changes, `changed ${folder}/new/deep/file`);
  renameSync(join(folder, "new"), join(folder, "moved"));
  const moved = await until(changes, `created ${folder}/moved/deep/file`);
  expect(moved).toContain(`removed ${folder}/new/`);
  rmSync(join(folder, "moved/deep/file"));
  await until(changes, `removed ${folder}/moved/deep/file`);
  rmSync(folder, { recursive: true });
  expect((await until(changes, "the end")).at(-1)).toBe(`removed ${folder}`);
});

test("watch() of a file tells of it alone, and stops when nobody reads any more", async () => {
  const folder = mkdtempSync(join(fixture.folder, "w-"));
  const file = join(folder, "file");
  writeFileSync(file, "");
  const changes = fixture.agent.watch(file);
  await until(changes, `ready ${file}`);
  writeFileSync(join(folder, "other"), "text");
  writeFileSync(file, "text");
  expect(await until(changes, `changed ${file}`)).toEqual([`changed ${file}`]);
  await changes.return(undefined);
  const { streams } = await fixture.agent.health();
  expect(streams).toBe(0);
});

test("watch() says that there is no such path", async () => {
  expect(await codeOf(fixture.agent.watch("/no/such/path").next())).toBe("not_found");
});
