#include "words.h"

#include <stdlib.h>
#include <string.h>

int words_split(char *line, const char *blanks, char **words, int most)
{
	int count = 0;
	char *rest;
	for (char *word = strtok_r(line, blanks, &rest); word && count < most; word = strtok_r(NULL, blanks, &rest))
		words[count++] = word;
	return count;
}

uint64_t words_number(const char *word)
{
	return strtoull(word, NULL, 10);
}
