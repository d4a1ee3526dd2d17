/** MCP clients whose configuration banger can write. */
export const MCP_CLIENTS = ["claude-code", "codex", "cursor", "vscode", "opencode"] as const;
export type McpClient = (typeof MCP_CLIENTS)[number];
