/*
 * What the host is told of the boot: phases, which are kept in a file of /run so that a later agent
 * and a later host hear them too, and log lines, which only a host that listens gets. The other
 * programs of the guest's boot report through a socket.
 */
#ifndef BANGER_EVENT_H
#define BANGER_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/link.h"

#define MAX_EVENT_TEXT_BYTES 8192

/* Reads the phases so far. */
void events_load(void);

/* Appends a phase to the file; for the boot, before there is an agent. */
void events_record(const char *phase, const char *text);

/* Opens the socket; false if that is not possible. */
bool events_listen(void);

/* Takes what programs have reported. */
void events_receive(struct link *link);

/* Notes a phase and has it told. */
void events_phase(const char *phase, const char *text);

/* Every phase is to be told again. */
void events_replay(void);

/* Sends what is still untold; true if anything was sent. */
bool events_pump(struct link *link);

/* Reports to a running agent, as another process. A phase or, without one, a log line. */
bool events_notify(const char *phase, const char *text);

#endif
