/** The server in the code interpreter's image, with the kernel that Debian has, and E2B's client. */
import { expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDockerfile } from "#builds/dockerfile/dockerfile.ts";
import { npmClients, pythonKernel, runNode } from "#test/e2b/clients.ts";
import { freePort } from "#test/file-server.ts";
import { testNeeding } from "#test/needs.ts";
import { until } from "#test/until.ts";

const RECIPE = join(import.meta.dir, "../../recipes/images/code-interpreter/Dockerfile");

testNeeding("python3", "pip3")(
  "E2B's code interpreter client runs cells, in contexts",
  async () => {
    const [packages] = await Promise.all([pythonKernel(), npmClients()]);
    const folder = mkdtempSync(join(tmpdir(), "banger-interpreter-"));
    const program = join(folder, "server.py");
    const recipe = parseDockerfile(readFileSync(RECIPE, "utf8"));
    const instructions = recipe.stages.flatMap((stage) => stage.instructions);
    const [server] = instructions.flatMap(({ heredocs }) => heredocs);
    writeFileSync(program, server?.content ?? "");
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const env = { ...process.env, PYTHONPATH: packages, CODE_INTERPRETER_PORT: String(port) };
    const child = Bun.spawn(["python3", program], { env, stdio: ["ignore", "ignore", "ignore"] });
    try {
      const isUp = () =>
        fetch(`${url}/health`).then(
          ({ ok }) => ok,
          () => false,
        );
      await until(async () => child.exitCode !== null || (await isUp()));
      expect(await runNode({ url, token: "00" }, "interpreter", url)).toEndWith("done\n");
      const refused: [string, string, number][] = [
        ["/execute", "{}", 400],
        ["/execute", "[]", 400],
        ["/execute", "no JSON", 400],
        ["/execute", '{"code": 1}', 400],
        ["/execute", '{"code": "1", "env_vars": {"A": 1}}', 400],
        ["/contexts", '{"cwd": "/does/not/exist"}', 400],
        ["/contexts/none/restart", "", 404],
        ["/none", "", 404],
      ];
      for (const [path, body, status] of refused) {
        const answer = await fetch(`${url}${path}`, { method: "POST", body });
        expect([path, body, answer.status]).toEqual([path, body, status]);
      }
    } finally {
      // The kernels end with it.
      child.kill();
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
