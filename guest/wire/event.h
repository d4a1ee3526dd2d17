/*
 * Boot events for the host. Phases are kept in a file of /run, so that a later agent or host gets them too;
 * log lines go to a connected host only. Other processes of the boot report through a unix socket.
 */
#ifndef BANGER_EVENT_H
#define BANGER_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/link.h"

#define MAX_EVENT_TEXT_BYTES 8192

/* Loads the phases recorded so far. */
void events_load(void);

/* Appends a phase to the file; used before an agent runs. */
void events_record(const char *phase, const char *text);

/* Opens the socket for reports; false on failure. */
bool events_listen(void);

/* Receives reports from other processes. */
void events_receive(struct link *link);

/* Records a phase and queues it for the host. */
void events_phase(const char *phase, const char *text);

/* Queues all phases again, for a new host. */
void events_replay(void);

/* Sends queued phases; true if anything was sent. */
bool events_pump(struct link *link);

/* Reports from another process to the running agent: a phase or, without one, a log line. */
bool events_notify(const char *phase, const char *text);

#endif
