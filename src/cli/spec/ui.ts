/** The web UI. */
import { countArg } from "#cli/args/numbers.ts";
import { command, toggle, value } from "./types.ts";

export const uiCommand = command({
  brief: "Open the web UI in a browser",
  details: `The daemon serves it on a loopback address. The printed address logs one browser in, once, within five minutes; the
login lasts a day. Over ssh, forward the port first, as printed.`,
  flags: {
    noOpen: toggle("--no-open", "Print the address without opening a browser"),
    port: value("--port <port>", "Port to serve it at (default: 7777, or a free one)", countArg),
    logout: toggle("--logout", "Log out all browsers, and stop serving the UI"),
  },
  examples: ["banger ui", "banger ui --no-open --port 8080", "banger ui --logout"],
});
