/** The MCP SDK's own client, on stdio and over HTTP. */
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

type Era = "2025" | "2026";

const clientOf = (era: Era) =>
  new Client(
    { name: "test", version: "1" },
    era === "2025" ? {} : { versionNegotiation: { mode: { pin: "2026-07-28" } } },
  );

export async function stdioClient(
  [command = "", ...args]: readonly string[],
  { env, era }: { env: Record<string, string>; era: Era },
): Promise<McpTester> {
  const client = clientOf(era);
  const own = Object.fromEntries(
    Object.entries({ ...process.env, ...env }).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    ),
  );
  await client.connect(new StdioClientTransport({ command, args, env: own, stderr: "inherit" }));
  return new McpTester(client);
}

export async function httpClient(
  url: string,
  { token, era }: { token: string; era: Era },
): Promise<McpTester> {
  const client = clientOf(era);
  const requestInit = { headers: { Authorization: `Bearer ${token}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return new McpTester(client);
}

export class McpTester implements AsyncDisposable {
  readonly client: Client;

  constructor(client: Client) {
    this.client = client;
  }

  /** Its structured content; a failure is thrown as its text. */
  async call(
    name: string,
    args: Record<string, unknown> = {},
    options: Parameters<Client["callTool"]>[1] = {},
  ): Promise<Record<string, unknown>> {
    const wanted = { timeout: 600_000, ...options };
    const result = await this.client.callTool({ name, arguments: args }, wanted);
    const [first] = result.content;
    if (result.isError) throw new Error(first?.type === "text" ? first.text : "no text");
    return Object(result.structuredContent);
  }

  async toolNames(): Promise<string[]> {
    return (await this.client.listTools()).tools.map(({ name }) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
  }
}
