/* The tests' assertion macro, and the entry point of each test file. */
#ifndef BANGER_CHECK_H
#define BANGER_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                   \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);    \
			exit(1);                                                           \
		}                                                                          \
	} while (0)

void test_golden(const char *path);
void test_fields(void);
void test_link(void);
void test_transport(void);

/* A pseudorandom number; the sequence is the same in every run. */
uint32_t next_random(void);

#endif
