/** Commands in a machine, for what has no procedure of its own. */
import { openStream } from "#web/link/daemon.ts";

/** Gives its output; throws with what it printed if it fails. */
export async function runInside(vm: string, argv: string[]): Promise<string> {
  const decoder = new TextDecoder();
  const texts = { out: "", err: "" };
  const connection = openStream(
    { kind: "exec", vm, exec: { argv } },
    {
      onStdout: (bytes) => {
        texts.out += decoder.decode(bytes, { stream: true });
      },
      onStderr: (bytes) => {
        texts.err += new TextDecoder().decode(bytes);
      },
    },
  );
  const exit = await connection.exited;
  if ("code" in exit && exit.code === 0) return texts.out;
  const status = "code" in exit ? `exit status ${exit.code}` : `signal ${exit.signal}`;
  throw { code: "guest", message: texts.err.trim() || `${argv[0]}: ${status}` };
}
