/*
 * Sessions: commands that outlive the host that started them. Each has a keeper, a process of its own
 * that holds the command's input and the end of its output, and a socket named after it. The programs
 * here talk to keepers; a packet to a keeper is a list of fields, and a record from it, as `attach` prints
 * it behind its u32 length, is
 *
 *     u8 SESSION_DATA, u64 offset, bytes     output from this offset on
 *     u8 SESSION_END, fields                 nothing more will come; the session's fields
 *
 * Offsets count all output since the start. The keeper has the last bytes of it: a reader that asks for
 * older ones gets a first offset that is beyond what it asked for.
 */
#ifndef BANGER_SESSION_H
#define BANGER_SESSION_H

#include <stddef.h>
#include <stdint.h>

#define SESSION_MAX_PACKET_BYTES 32768

/* What a client of a keeper wants: TAG_KIND of its first packet. */
enum session_request { SESSION_INFO = 1, SESSION_ATTACH, SESSION_SEND, SESSION_SIGNAL, SESSION_RESIZE, SESSION_EOF, SESSION_REMOVE };

/* FOLDER NAME, the fields of an exec's open on stdin: prints TAG_PID. */
int session_start(char **arguments);

/* FOLDER: prints an entry field for each session. */
int session_list(char **arguments);

/* FOLDER NAME OFFSET: prints records from the offset on until the session has ended. */
int session_attach(char **arguments);

/* FOLDER NAME OFFSET: gives stdin to the command; OFFSET says how much input came before it, or is empty. */
int session_send(char **arguments);

/* FOLDER NAME VERB VALUE: signal NUMBER, resize 80x24, eof, remove. Prints the session's fields. */
int session_control(char **arguments);

/*
 * Serves the session until it is removed: `listener` is its socket, `request` what to run. Says on
 * `report`, which is closed then, how the start went: the fields of opened, or error and message.
 */
_Noreturn void session_supervise(int listener, const char *path, uint8_t *request, size_t length, int report);

#endif
