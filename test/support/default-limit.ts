/** Loaded before every test file (bunfig.toml): also for one that is run by itself. */
import { setDefaultTimeout } from "bun:test";
import { LIMIT_MS } from "./limit.ts";

setDefaultTimeout(LIMIT_MS);
