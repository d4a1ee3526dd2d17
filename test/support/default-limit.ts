/** Preloaded before every test file (bunfig.toml), also for a file that runs alone. */
import { setDefaultTimeout } from "bun:test";
import { LIMIT_MS } from "./limit.ts";

setDefaultTimeout(LIMIT_MS);
