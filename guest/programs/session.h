/*
 * Sessions: commands that outlive the host that started them. A supervisor process per session holds the command's
 * stdin and the end of its output, and listens on a socket named after the session. The programs here are its
 * clients; a packet to a supervisor is a list of fields. Records from it, which `session-attach` prints after their
 * u32 length, are
 *
 *     u8 SESSION_DATA, u64 offset, bytes     output from this offset on
 *     u8 SESSION_END, fields                 end of output; the session's fields
 *
 * Offsets count all output since the start. The supervisor keeps the last bytes only: the first offset is higher
 * than requested if older output was overwritten.
 */
#ifndef BANGER_SESSION_H
#define BANGER_SESSION_H

#include <stddef.h>
#include <stdint.h>

#define SESSION_MAX_PACKET_BYTES 32768

/* Request of a supervisor's client: TAG_KIND of its first packet. */
enum session_request { SESSION_INFO = 1, SESSION_ATTACH, SESSION_SEND, SESSION_SIGNAL, SESSION_RESIZE, SESSION_EOF, SESSION_REMOVE };

/* DIRECTORY NAME, with the fields of an exec's open on stdin: prints TAG_PID. */
int session_start(char **arguments);

/* DIRECTORY: prints an entry field for each session. */
int session_list(char **arguments);

/* DIRECTORY NAME OFFSET: prints records from the offset on until the session ends. */
int session_attach(char **arguments);

/* DIRECTORY NAME OFFSET: sends stdin to the command; OFFSET is the amount of input sent before, or empty. */
int session_send(char **arguments);

/* DIRECTORY NAME VERB VALUE: signal NUMBER, resize 80x24, eof, remove. Prints the session's fields. */
int session_control(char **arguments);

/*
 * Runs the session until it is removed: `listener` is its socket, `request` the exec request. Writes the result of
 * the start to `report` and closes it: the fields of opened, or error and message.
 */
_Noreturn void session_supervise(int listener, const char *path, uint8_t *request, size_t length, int report);

#endif
