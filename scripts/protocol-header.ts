/** Generates guest/wire/protocol.h, the C side of the constants in src/guest/protocol.ts; --print prints it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert } from "#base/assert.ts";
import * as protocol from "#guest/protocol.ts";
import * as messages from "#images/rootfs/inflate-messages.ts";

const ROOT = join(import.meta.dir, "..");

const headers: Record<string, () => string> = {
  "guest/wire/protocol.h": guestHeader,
  "inflate/messages.h": inflateHeader,
};

/** Constants that only the host's side uses, and those that become enums below. */
const NOT_DEFINED = /^(SYNC_PADDING_BYTES|AGENT_PATH|CHANNEL_(IN|OUT|ERR))$/;

const printed = process.argv.indexOf("--print") + 1;
if (printed > 0) {
  const header = headers[process.argv[printed] ?? ""];
  assert(header, `--print takes one of ${Object.keys(headers).join(", ")}`);
  process.stdout.write(header());
} else {
  for (const [path, header] of Object.entries(headers)) writeFileSync(join(ROOT, path), header());
}

function guestHeader(): string {
  const { FrameType, Kind, Tag, BootTag, ListenRecord, SessionRecord, Change } = protocol;
  const { CHANNEL_IN, CHANNEL_OUT, CHANNEL_ERR } = protocol;
  const features = protocol.agentFeatures.map((feature) => JSON.stringify(feature));
  const parts = [
    "/*\n * The constants of the guest protocol. Generated: change src/guest/protocol.ts, then run\n * `build/toolchain/bun scripts/protocol-header.ts`.\n */",
    "#ifndef BANGER_PROTOCOL_H\n#define BANGER_PROTOCOL_H",
    definesOf(protocol),
    `#define SYNC_MAGIC_BYTES ${protocol.SYNC_MAGIC.length}`,
    `#define AGENT_FEATURES { ${features.join(", ")} }`,
    enumeration("frame_type", "FRAME", FrameType),
    enumeration("channel", "CHANNEL", { in: CHANNEL_IN, out: CHANNEL_OUT, err: CHANNEL_ERR }),
    "#define CHANNELS 3",
    enumeration("kind", "KIND", Kind),
    enumeration("tag", "TAG", Tag),
    enumeration("boot_tag", "TAG_BOOT", BootTag),
    enumeration("listen_record", "LISTEN", ListenRecord),
    enumeration("session_record", "SESSION", SessionRecord),
    enumeration("change", "CHANGE", Change),
    "#endif",
  ];
  return `${parts.join("\n\n")}\n`;
}

function inflateHeader(): string {
  const parts = [
    "/*\n * The messages and exit statuses of banger-inflate. Generated: change src/images/rootfs/inflate-messages.ts,\n * then run `build/toolchain/bun scripts/protocol-header.ts`.\n */",
    "#ifndef MESSAGES_H\n#define MESSAGES_H",
    definesOf(messages),
    enumeration("command", "COMMAND", messages.Command),
    enumeration("event", "EVENT", messages.Event),
    enumeration("status", "STATUS", messages.Status),
    "#endif",
  ];
  return `${parts.join("\n\n")}\n`;
}

/** Every number and text of a module. */
function definesOf(module: object): string {
  return Object.entries(module)
    .filter(([name]) => !NOT_DEFINED.test(name))
    .flatMap(([name, value]) => {
      const cName = name === "PROTOCOL" ? "PROTOCOL_NUMBER" : name;
      const isPlain = typeof value === "number" || typeof value === "string";
      return isPlain ? [`#define ${cName} ${JSON.stringify(value)}`] : [];
    })
    .join("\n");
}

function enumeration(name: string, prefix: string, values: Record<string, number>): string {
  const members = Object.entries(values).map(([key, value]) => {
    const words = key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
    return `\t${prefix}_${words} = ${value},\n`;
  });
  return `enum ${name} {\n${members.join("")}};`;
}
