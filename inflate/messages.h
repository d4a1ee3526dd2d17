/*
 * The messages and exit statuses of banger-inflate. Generated: change src/images/rootfs/inflate-messages.ts,
 * then run `build/toolchain/bun scripts/protocol-header.ts`.
 */

#ifndef MESSAGES_H
#define MESSAGES_H

#define MESSAGE_BYTES 8
#define RESERVED_BYTES 65536

enum command {
	COMMAND_INPUT = 1,
	COMMAND_OUTPUT_READ = 2,
	COMMAND_END = 3,
};

enum event {
	EVENT_READY = 1,
	EVENT_INPUT_READ = 2,
	EVENT_OUTPUT = 3,
	EVENT_DONE = 4,
};

enum status {
	STATUS_INVALID_INPUT = 1,
	STATUS_FAILED = 2,
};

#endif
