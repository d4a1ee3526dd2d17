/** All tools, in the order in which clients see them. */
import type { AnyTool } from "#mcp/tool.ts";
import { forkTool, snapshotTool } from "./copies.ts";
import { diffTool } from "./diff.ts";
import { execTool } from "./exec.ts";
import { readTool, writeTool } from "./files.ts";
import {
  copyInTool,
  copyOutTool,
  fileRemoveTool,
  imageBuildTool,
  imagePullTool,
  policyTool,
  snapshotRemoveTool,
} from "./host.ts";
import { createTool, listTool, removeTool } from "./machines.ts";
import { portsTool } from "./ports.ts";
import { logsTool, powerTool, processesTool, showTool } from "./power.ts";
import {
  sessionListTool,
  sessionOutputTool,
  sessionSendTool,
  sessionStartTool,
  sessionStopTool,
} from "./sessions.ts";

export const TOOLS: readonly AnyTool[] = [
  createTool,
  execTool,
  readTool,
  writeTool,
  listTool,
  diffTool,
  forkTool,
  snapshotTool,
  portsTool,
  removeTool,
  showTool,
  powerTool,
  logsTool,
  processesTool,
  sessionStartTool,
  sessionListTool,
  sessionOutputTool,
  sessionSendTool,
  sessionStopTool,
  fileRemoveTool,
  snapshotRemoveTool,
  policyTool,
  imagePullTool,
  imageBuildTool,
  copyInTool,
  copyOutTool,
];
