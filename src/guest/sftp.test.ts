/** The agent's SFTP server: OpenSSH's client against it, and packets of a client that means ill. */
import { expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { run, runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { agentFixture, codeOf, collectOutput } from "#test/guest-fixture.ts";
import { testNeeding } from "#test/needs.ts";
import { AGENT_PATH } from "./protocol.ts";

const fixture = agentFixture();
const clientTest = testNeeding("sftp");

async function sftp(...commands: string[]): Promise<string> {
  const server = `${fixture.program} sftp`;
  const batch = join(fixture.folder, "batch");
  writeFileSync(batch, `${commands.join("\n")}\n`);
  const result = await run(["sftp", "-q", "-D", server, "-b", batch]);
  expect(result.exitCode).toBe(0);
  // The lines that begin with the prompt are the commands.
  return (result.stdout + result.stderr).replaceAll(/^sftp> .*\n/gm, "");
}

clientTest("files and trees go both ways whole, with modes and times", async () => {
  const place = mkdtempSync(join(fixture.folder, "sftp-"));
  mkdirSync(join(place, "tree/sub"), { recursive: true });
  writeFileSync(join(place, "tree/big"), crypto.getRandomValues(new Uint8Array(60_000)));
  const block = Buffer.alloc(3 * MiB, "content ");
  writeFileSync(join(place, "tree/sub/file"), block);
  chmodSync(join(place, "tree/sub/file"), 0o640);
  await runOk(["touch", "-d", "2001-02-03 04:05:06", join(place, "tree/sub/file")]);
  await sftp(
    `mkdir ${place}/in`,
    `put -rp ${place}/tree ${place}/in/`,
    `get -rp ${place}/in ${place}/out`,
  );
  expect(
    await runOk(["rsync", "-rlptcni", "--delete", `${place}/tree/`, `${place}/out/tree`]),
  ).toBe("");
});

clientTest("names, links, renames and removals", async () => {
  const place = mkdtempSync(join(fixture.folder, "sftp-"));
  writeFileSync(join(place, "a"), "a");
  writeFileSync(join(place, "b"), "b");
  const output = await sftp(
    `cd ${place}`,
    "rename a c",
    "symlink c soft",
    "ln c hard",
    "chmod 600 c",
    "ls -1",
    "df",
    "-rename nothing d",
    "-rmdir nothing",
    "rename b c",
    "rm hard",
    "pwd",
  );
  expect(output).toContain("b\nc\nhard\nsoft\n");
  expect(output).toContain("Capacity");
  expect(output).toMatch(/remote rename.*No such file or directory/);
  expect(output).toMatch(/remote rmdir.*No such file or directory/);
  expect(output).toContain(`Remote working directory: ${place}`);
  expect(readFileSync(join(place, "soft"), "utf8")).toBe("b");
  expect(statSync(join(place, "c")).nlink).toBe(1);
  expect(existsSync(join(place, "hard"))).toBe(false);
});

test("noise and handles that are not open are errors, and nothing reads beyond its packet", async () => {
  const packet = (...bytes: number[]) => Uint8Array.from([0, 0, 0, bytes.length, ...bytes]);
  const packets = [
    packet(1, 0, 0, 0, 3),
    packet(4, 0, 0, 0, 1, 0, 0, 0, 4, 104, 0, 0, 5),
    packet(5, 0, 0, 0, 2, 0, 0, 0, 9, 1),
    packet(6, 0, 0, 0, 3, 255, 255, 255, 255),
    packet(3, 0, 0, 0, 4, 0, 0, 0, 2, 47, 0, 0, 0, 0, 1, 0, 0, 0, 0),
    packet(200, 0, 0, 0, 5, 0, 0, 0, 1, 120),
    packet(99, 0, 0, 0, 6),
  ];
  const exec = await fixture.agent.exec({ argv: [AGENT_PATH, "sftp"], stdin: true });
  const output = collectOutput(exec);
  await exec.writeStdin(Buffer.concat(packets));
  await exec.closeStdin();
  expect(await exec.exited).toEqual({ code: 0 });
  expect(output.text().match(/malformed/g)?.length).toBe(3);
  for (let round = 0; round < 40; round++) {
    const noisy = await fixture.agent.exec({ argv: [AGENT_PATH, "sftp"], stdin: true });
    collectOutput(noisy);
    for (const one of packets) {
      // The last bytes of a packet are noise; its type stays one that changes nothing.
      const broken = Uint8Array.from(one);
      crypto.getRandomValues(broken.subarray(Math.min(9, broken.length)));
      if (broken[4] === 3 || broken[4] === 200) continue;
      await noisy.writeStdin(broken);
    }
    await noisy.closeStdin();
    expect(await codeOf(noisy.exited)).toBe("no error");
    expect(await noisy.exited).toEqual({ code: 0 });
  }
});
