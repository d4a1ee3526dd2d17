/* The program `stats`: prints resource usage. Counters start at boot. */
#ifndef BANGER_STATS_H
#define BANGER_STATS_H

int stats_print(char **arguments);

#endif
