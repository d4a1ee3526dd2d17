/* What the machine uses, as a program. Counters count since its boot. */
#ifndef BANGER_STATS_H
#define BANGER_STATS_H

int stats_print(char **arguments);

#endif
