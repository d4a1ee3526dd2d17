/* Text of /proc: lines of words, most of them numbers. */
#ifndef BANGER_PROCFS_H
#define BANGER_PROCFS_H

#include <stdbool.h>
#include <stdint.h>

/* Cuts the line at any of `blanks`, in place, into at most `most` words; gives how many there are. */
int procfs_split(char *line, const char *blanks, char **words, int most);

/* The decimal number that the word begins with, or 0. */
uint64_t procfs_number(const char *word);

/* Whether PID 1 is systemd. */
bool procfs_init_is_systemd(void);

#endif
