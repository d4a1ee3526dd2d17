/** Errors as a model reads them: what failed, and which call mends it. */
import type { CallToolResult } from "@modelcontextprotocol/server";
import { type BangerError, type ErrorCode, toBangerError } from "#base/error.ts";

const NEXT: Partial<Record<ErrorCode, string>> = {
  invalid_argument: "Correct the arguments and call the tool again.",
  not_found: "Call `list` to see what exists.",
  already_exists: "Choose another name, or leave it out to get a generated one.",
  invalid_state: "Call `list` to see the machine's state.",
  unavailable: "Try again in a moment; if it fails again, tell the user.",
  timeout: "Try again with a longer `timeout`, or do less in one call.",
  permission_denied: "Tell the user: this client may not do that.",
  unauthorized: "Tell the user: the token is missing, revoked or expired.",
  unsupported: "Use another way: this host or image cannot do it.",
  limit_exceeded: "Ask for less in one call.",
  conflict: "Try again in a moment.",
  guest:
    "Look at the machine's log (resource banger://machines/NAME/log), or create another machine.",
  no_space: "Remove machines that are no longer needed with `remove`, or tell the user.",
  command_not_found: "Check the program's name, install it, or use another image.",
  command_not_executable: "Check the file's mode with `list`.",
  internal: "Tell the user: this is a fault of banger.",
};

export function errorResult(error: unknown): CallToolResult {
  const failure = toBangerError(error);
  return { isError: true, content: [{ type: "text", text: errorText(failure) }] };
}

export function errorText({ code, message, hint }: BangerError): string {
  const next = NEXT[code];
  return [
    `${code}: ${message}`,
    ...(next ? [`Next: ${next}`] : []),
    // Of the command line, which a model may not have.
    ...(hint ? [`For the user: ${hint}`] : []),
  ].join("\n");
}
