/**
 * Messages between banger and banger-inflate, its gzip decompressor; inflate/main.c describes the protocol.
 * scripts/protocol-header.ts generates inflate/messages.h from these constants.
 */

/** To the decompressor. */
export const Command = { input: 1, outputRead: 2, end: 3 } as const;
/** From the decompressor. */
export const Event = { ready: 1, inputRead: 2, output: 3, done: 4 } as const;
/** Two numbers of 32 bits. */
export const MESSAGE_BYTES = 8;
/** Part of the output ring that is never readable: the window before the output and the margin after it. */
export const RESERVED_BYTES = 64 * 1024;
/** Exit statuses; the reason is on stderr. `failed`: it could not start. */
export const Status = { invalidInput: 1, failed: 2 } as const;
