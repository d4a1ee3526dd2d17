/** The server that the official conformance suite is written for: its tools, resources and prompts, on our own wiring. */
import {
  acceptedContent,
  completable,
  createRequestStateCodec,
  inputRequired,
  inputResponse,
  McpServer,
  ResourceTemplate,
  type ServerContext,
  type ServerNotifier,
} from "@modelcontextprotocol/server";
import { z } from "zod";

const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";
const image = { type: "image" as const, data: PNG, mimeType: "image/png" };
const text = (words: string) => ({ type: "text" as const, text: words });
const said = (words: string) => ({ content: [text(words)] });
const resource = (uri: string, mimeType: string, words: string) => ({
  type: "resource" as const,
  resource: { uri, mimeType, text: words },
});

const states = createRequestStateCodec<string>({ key: "a key of at least thirty-two bytes" });
const nothing = z.object({});
const nameSchema = z.object({ name: z.string() });
const askName = (message: string) => inputRequired.elicit({ message, requestedSchema: nameSchema });
const ask = (question: string, maxTokens: number) =>
  inputRequired.createMessage({
    messages: [{ role: "user", content: text(question) }],
    maxTokens,
  });

export function fixtureServer(notify: () => ServerNotifier): McpServer {
  const server = new McpServer(
    { name: "fixture", version: "1.0.0" },
    {
      capabilities: { logging: {}, completions: {} },
      requestState: { verify: states.verify },
      cacheHints: { "tools/list": { ttlMs: 1000, cacheScope: "private" } },
    },
  );
  addContent(server);
  addBehavior(server, notify);
  addInputs(server);
  addResources(server);
  addPrompts(server);
  return server;
}

function addContent(server: McpServer): void {
  const give = (name: string, content: object[]) =>
    server.registerTool(name, { description: `Gives ${name}`, inputSchema: nothing }, () => ({
      content: content as never,
    }));
  give("test_simple_text", [text("This is a simple text response for testing.")]);
  give("test_image_content", [image]);
  give("test_audio_content", [{ type: "audio", data: WAV, mimeType: "audio/wav" }]);
  give("test_embedded_resource", [
    resource("test://embedded-resource", "text/plain", "This is an embedded resource content."),
  ]);
  give("test_multiple_content_types", [
    text("Multiple content types test:"),
    image,
    resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
  ]);
}

function addBehavior(server: McpServer, notify: () => ServerNotifier): void {
  const add = (name: string, run: (context: ServerContext) => Promise<object> | object) =>
    server.registerTool(
      name,
      { description: `Does ${name}`, inputSchema: nothing },
      async (_, context) => (await run(context)) as never,
    );
  add("test_error_handling", () => {
    throw new Error("This tool intentionally returns an error for testing");
  });
  add("test_tool_with_progress", async ({ mcpReq: { _meta, notify: tell } }) => {
    const progressToken = _meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) {
        const params = { progressToken, progress, total: 100 };
        await tell({ method: "notifications/progress", params });
      }
      await Bun.sleep(20);
    }
    return said("done");
  });
  const log = async ({ mcpReq }: ServerContext) => {
    for (const words of ["started", "in progress", "completed"]) {
      await mcpReq.log("info", `Tool execution ${words}`);
      await Bun.sleep(20);
    }
    return said("logged");
  };
  add("test_tool_with_logging", log);
  add("test_logging_tool", log);
  // The wiring refuses what the client has not declared.
  add("test_missing_capability", () =>
    inputRequired({ inputRequests: { answer: ask("What is the capital of France?", 100) } }),
  );
  add("test_trigger_tool_change", () => {
    notify().toolsChanged();
    return said("told");
  });
  add("test_trigger_prompt_change", () => {
    notify().promptsChanged();
    return said("told");
  });
  add("test_streaming_elicitation", ({ mcpReq }) => namedBy(mcpReq, "user_name"));
}

type McpRequest = ServerContext["mcpReq"];

function declares({ envelope }: McpRequest, capability: string): boolean {
  const known = Reflect.get(Object(envelope), "io.modelcontextprotocol/clientCapabilities");
  return Object.hasOwn(Object(known), capability);
}

function namedBy({ inputResponses }: McpRequest, key: string): object {
  const given = acceptedContent(inputResponses, key, nameSchema);
  if (given) return said(`Hello, ${given.name}!`);
  return inputRequired({ inputRequests: { [key]: askName("What is your name?") } });
}

function addInputs(server: McpServer): void {
  const add = (name: string, run: (request: McpRequest) => Promise<object> | object) =>
    server.registerTool(
      `test_input_required_result_${name}`,
      { description: `Needs input: ${name}`, inputSchema: nothing },
      async (_, { mcpReq }) => (await run(mcpReq)) as never,
    );
  add("elicitation", (request) => namedBy(request, "user_name"));
  add("sampling", ({ inputResponses }) => {
    const answer = inputResponse(inputResponses, "capital_question");
    if (answer.kind === "sampling") return said(JSON.stringify(answer.result.content));
    return inputRequired({
      inputRequests: { capital_question: ask("What is the capital of France?", 100) },
    });
  });
  add("list_roots", ({ inputResponses }) => {
    const answer = inputResponse(inputResponses, "client_roots");
    if (answer.kind === "roots") return said(JSON.stringify(answer.roots));
    return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  });
  const confirm = async ({ inputResponses, requestState }: McpRequest): Promise<object> => {
    const given = inputResponse(inputResponses, "confirm");
    if (given.kind === "elicit" && requestState<string>() === "confirm") return said("state-ok");
    const requestedSchema = z.object({ ok: z.boolean() });
    return inputRequired({
      inputRequests: {
        confirm: inputRequired.elicit({ message: "Please confirm", requestedSchema }),
      },
      requestState: await states.mint("confirm"),
    });
  };
  add("request_state", confirm);
  add("tampered_state", confirm);
  add("multiple_inputs", async ({ inputResponses, requestState }) => {
    const keys = ["user_name", "greeting", "client_roots"];
    const isAll = keys.every((key) => inputResponse(inputResponses, key).kind !== "missing");
    if (isAll && requestState<string>() === "many") return said("all there");
    return inputRequired({
      inputRequests: {
        user_name: askName("What is your name?"),
        greeting: ask("Generate a greeting", 50),
        client_roots: inputRequired.listRoots(),
      },
      requestState: await states.mint("many"),
    });
  });
  add("multi_round", async ({ inputResponses, requestState }) => {
    const round = requestState<string>();
    const has = (key: string) => inputResponse(inputResponses, key).kind !== "missing";
    if (round === "two" && has("step2")) return said("both steps");
    if (round === "one" && has("step1")) {
      const requestedSchema = z.object({ color: z.string() });
      const message = "Step 2: What is your favorite color?";
      return inputRequired({
        inputRequests: { step2: inputRequired.elicit({ message, requestedSchema }) },
        requestState: await states.mint("two"),
      });
    }
    return inputRequired({
      inputRequests: { step1: askName("Step 1: What is your name?") },
      requestState: await states.mint("one"),
    });
  });
  add("capabilities", (request) => {
    const inputRequests = {
      ...(declares(request, "sampling") ? { greeting: ask("Generate a greeting", 50) } : {}),
      ...(declares(request, "elicitation") ? { user_name: askName("What is your name?") } : {}),
    };
    return inputRequired({ inputRequests });
  });
}

function addResources(server: McpServer): void {
  server.registerResource(
    "static text",
    "test://static-text",
    { description: "Text", mimeType: "text/plain" },
    ({ href: uri }) => ({
      contents: [
        { uri, mimeType: "text/plain", text: "This is the content of the static text resource." },
      ],
    }),
  );
  server.registerResource(
    "static binary",
    "test://static-binary",
    { description: "An image", mimeType: "image/png" },
    ({ href: uri }) => ({ contents: [{ uri, mimeType: "image/png", blob: PNG }] }),
  );
  server.registerResource(
    "template",
    new ResourceTemplate("test://template/{id}/data", { list: undefined }),
    { description: "Data of an id", mimeType: "application/json" },
    ({ href: uri }, { id }) => ({
      contents: [
        {
          uri,
          mimeType: "application/json",
          text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
        },
      ],
    }),
  );
}

function addPrompts(server: McpServer): void {
  const user = (content: object) => ({ role: "user" as const, content: content as never });
  server.registerPrompt("test_simple_prompt", { description: "A prompt" }, () => ({
    messages: [user(text("This is a simple prompt for testing."))],
  }));
  server.registerPrompt("test_prompt_with_image", { description: "With an image" }, () => ({
    messages: [user(image), user(text("Please analyze the image above."))],
  }));
  const two = z.object({
    arg1: completable(z.string(), (start) =>
      ["paris", "park"].filter((each) => each.startsWith(start)),
    ),
    arg2: z.string(),
  });
  server.registerPrompt(
    "test_prompt_with_arguments",
    { description: "With arguments", argsSchema: two },
    ({ arg1, arg2 }) => ({
      messages: [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
    }),
  );
  server.registerPrompt(
    "test_prompt_with_embedded_resource",
    { description: "With a resource", argsSchema: z.object({ resourceUri: z.string() }) },
    ({ resourceUri }) => ({
      messages: [
        user(resource(resourceUri, "text/plain", "Embedded resource content for testing.")),
        user(text("Please process the embedded resource above.")),
      ],
    }),
  );
  const contextSchema = z.object({ context: z.string() });
  server.registerPrompt(
    "test_input_required_result_prompt",
    { description: "Needs input" },
    ({ mcpReq }) => {
      const given = acceptedContent(mcpReq.inputResponses, "user_context", contextSchema);
      if (given) return { messages: [user(text(`In the context of ${given.context}`))] };
      const message = "What context should the prompt use?";
      const user_context = inputRequired.elicit({ message, requestedSchema: contextSchema });
      return inputRequired({ inputRequests: { user_context } });
    },
  );
}
