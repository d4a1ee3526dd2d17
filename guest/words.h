/* Lines as the kernel prints them below /proc: words with blanks between them, most of them numbers. */
#ifndef BANGER_WORDS_H
#define BANGER_WORDS_H

#include <stdint.h>

/* Cuts the line at any of `blanks`, in place, into at most `most` words; gives how many there are. */
int words_split(char *line, const char *blanks, char **words, int most);

/* The decimal number that the word begins with, or 0. */
uint64_t words_number(const char *word);

#endif
