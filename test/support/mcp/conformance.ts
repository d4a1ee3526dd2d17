/** The official conformance suite of MCP, unmodified, against a server of ours. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../../..");
const PROGRAM = join(ROOT, "node_modules/@modelcontextprotocol/conformance/dist/index.js");

export interface ConformanceOptions {
  url: string;
  /** Of the specification: every scenario that it requires is run. */
  revision: "2025-11-25" | "2026-07-28";
  /** Scenarios, or SCENARIO:CHECK, that fail; one that passes fails the run. */
  expectedFailures?: readonly string[];
}

/** Gives what the suite prints; throws unless all is as expected. The suite sends no token: `token` is added on the way. */
export async function runConformance(
  { url, revision, expectedFailures = [] }: ConformanceOptions,
  token: string,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "banger-mcp-conformance-"));
  await using proxy = withToken(url, token);
  try {
    const baseline = join(folder, "expected.yml");
    writeFileSync(baseline, `server:\n${expectedFailures.map((each) => `  - ${each}\n`).join("")}`);
    const failures = expectedFailures.length > 0 ? ["--expected-failures", baseline] : [];
    const results = join(folder, "results");
    const wanted = ["--requirements", revision, "--output-dir", results];
    const argv = ["server", "--url", proxy.url, ...wanted, ...failures];
    const child = Bun.spawn([process.execPath, PROGRAM, ...argv], {
      cwd: folder,
      env: { ...process.env, NO_PROXY: "*", no_proxy: "*" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (status !== 0) throw new Error(`status ${status}\n${out}${err}${failedChecks(results)}`);
    return out;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the summary does not say. */
function failedChecks(results: string): string {
  const files = [...new Bun.Glob("**/checks.json").scanSync(results)];
  return files
    .flatMap((file) => {
      const checks = JSON.parse(readFileSync(join(results, file), "utf8")) as Check[];
      const failed = checks.filter(({ status }) => status === "FAILURE");
      return failed.map(({ id, errorMessage }) => `${file}: ${id}: ${errorMessage}\n`);
    })
    .join("");
}

interface Check {
  id: string;
  status: string;
  errorMessage?: string;
}

/** Passes requests on with a token. Host and Origin stay what the suite says, as if it had reached the server itself. */
function withToken(url: string, token: string) {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const headers = new Headers(request.headers);
      headers.set("Authorization", `Bearer ${token}`);
      return await fetch(new URL(pathname + search, url), {
        method: request.method,
        headers,
        // At once: a request that is refused is not read to its end.
        body: request.body && (await request.arrayBuffer()),
        redirect: "manual",
        keepalive: false,
        signal: request.signal,
      });
    },
  });
  return {
    url: new URL(new URL(url).pathname, server.url).href,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}
