import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { ensureSshKey, generateHostKey } from "./ssh-key.ts";

const folder = mkdtempSync(join(tmpdir(), "banger-ssh-key-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function publicOf(path: string): string {
  const result = Bun.spawnSync(["ssh-keygen", "-y", "-f", path]);
  expect(result.stderr.toString()).toBe("");
  return result.stdout.toString().trim();
}

test("generateHostKey() makes keys that ssh-keygen reads, at every length of comment", () => {
  for (const comment of ["", "a", "ab", "banger@host", "ü", "x".repeat(61)]) {
    const key = generateHostKey(comment);
    const path = join(folder, `host-${comment.length}`);
    writeFileSync(path, key.private, { mode: 0o600 });
    expect(publicOf(path)).toBe(key.publicLine);
  }
});

test("ensureSshKey() makes the key once, for its owner only, and finds it again", () => {
  const path = join(folder, "new", "id_ed25519");
  const made = ensureSshKey(path);
  expect(publicOf(path)).toBe(made.publicLine);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, "new")).mode & 0o777).toBe(0o700);
  expect(ensureSshKey(path)).toEqual(made);
  expect(readdirSync(join(folder, "new")).sort()).toEqual(["id_ed25519", "id_ed25519.pub"]);
});

test("ensureSshKey() takes a key that ssh-keygen made", () => {
  const path = join(folder, "theirs");
  Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", path]);
  rmSync(`${path}.pub`);
  expect(ensureSshKey(path).publicLine).toBe(publicOf(path));
  expect(existsSync(`${path}.pub`)).toBe(true);
});

test("ensureSshKey() refuses an encrypted key, another kind of key and a file that is none", () => {
  const make = (name: string, ...options: string[]): string => {
    const path = join(folder, name);
    Bun.spawnSync(["ssh-keygen", "-q", "-f", path, ...options]);
    return path;
  };
  const junk = join(folder, "junk");
  writeFileSync(junk, "not a key");
  const refused = [
    make("locked", "-t", "ed25519", "-N", "secret"),
    make("ecdsa", "-t", "ecdsa", "-N", ""),
    junk,
  ];
  for (const path of refused) expect(() => ensureSshKey(path)).toThrow(BangerError);
});

test("ensureSshKey() gives one key to processes that race for it", async () => {
  const path = join(folder, "race", "id_ed25519");
  const script = `
    import { ensureSshKey } from ${JSON.stringify(join(import.meta.dir, "ssh-key.ts"))};
    console.log(ensureSshKey(${JSON.stringify(path)}).publicLine);`;
  const children = Array.from({ length: 6 }, () => Bun.spawn([process.execPath, "-e", script]));
  const lines = await Promise.all(children.map((child) => new Response(child.stdout).text()));
  expect(new Set(lines).size).toBe(1);
  expect(lines[0]?.trim()).toBe(publicOf(path));
});
