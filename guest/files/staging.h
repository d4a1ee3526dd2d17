/*
 * A file that is written under a temporary name and renamed when it is complete. If the program fails or is cancelled
 * before that, the temporary file is removed, and what was at the target stays.
 */
#ifndef BANGER_STAGING_H
#define BANGER_STAGING_H

#include <stdbool.h>

/* Creates `path` below `directory` (or AT_FDCWD), which stays open until the file is committed; returns its fd. One file at a time. */
int staging_open(int directory, const char *path);

/* Renames the file to `target` below the same directory, and closes it. */
bool staging_commit(const char *target);

#endif
