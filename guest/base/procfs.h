/* Reads text files of /proc: lines of words, most of them numbers. */
#ifndef BANGER_PROCFS_H
#define BANGER_PROCFS_H

#include <stdbool.h>
#include <stdint.h>

/* Splits a line in place at any of `blanks` into at most `most` words; returns how many. */
int procfs_split(char *line, const char *blanks, char **words, int most);

/* The decimal number at the start of a word, or 0. */
uint64_t procfs_number(const char *word);

/* Whether PID 1 is systemd. */
bool procfs_init_is_systemd(void);

#endif
