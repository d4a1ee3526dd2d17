/*
 * Completes a change of identity, in a process of its own: lets services take it that have read the old one, and runs
 * the image's hooks.
 */
#ifndef BANGER_SETTLE_H
#define BANGER_SETTLE_H

#include <stdbool.h>

enum unsettled { UNSETTLED_SSH, UNSETTLED_MACHINE_ID };

/*
 * Notes what settle_run() has to do, until it is done; nothing if no running service has the value. `old` is the one that
 * they have.
 */
void settle_later(enum unsettled what, const char *old);

/* Whether settle_run() has anything to do. */
bool settle_is_due(void);

/* Prints a line for each failure. */
int settle_run(void);

#endif
