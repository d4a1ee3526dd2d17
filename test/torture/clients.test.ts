/**
 * Programs that people use, as they are: through the gate and to its other side, with TLS ended on the way and without.
 * Each does the same where its machine has the token and where a placeholder takes its place, and fails where no rule
 * allows it.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { CLIENTS } from "#test/clients/clients.ts";
import { ClientsLab } from "#test/clients/lab.ts";
import { prepareSite } from "#test/clients/packages.ts";
import { testNeeding } from "#test/needs.ts";

const PROGRAMS = ["curl", "wget", "git", "npm", "node", "python3", "pip", "apt-get", "gpg"];
const clientTest = testNeeding("root", "ip", "nft", "unshare", ...PROGRAMS);

let lab: ClientsLab;

beforeAll(async () => {
  if (process.getuid?.() === 0) lab = await ClientsLab.create(prepareSite);
});

afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

for (const [name, { script, tells, isOpen }] of Object.entries(CLIENTS)) {
  clientTest(name, async () => {
    await lab.decisions();
    for (const guest of ["secret", "plain"] as const) {
      const { status, output } = await lab.run(guest, script);
      expect([guest, status, output]).toEqual([guest, 0, expect.anything()]);
      for (const told of tells) expect(output).toMatch(told);
      const decisions = await lab.decisions();
      if (isOpen || guest === "plain") continue;
      expect(output).not.toContain(lab.value);
      expect(decisions).toContain("allowed TOKEN");
    }
    const refused = await lab.run("none", script);
    expect([refused.status === 0, refused.output]).toEqual([false, expect.anything()]);
  });
}
