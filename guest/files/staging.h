/*
 * A file that is written under a temporary name and renamed when it is complete, or, where there is none yet, in its
 * place. If the program fails or is cancelled before that, it is removed, and what was at the target stays.
 */
#ifndef BANGER_STAGING_H
#define BANGER_STAGING_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Creates `path`, at most 4096 bytes long, below `directory` (or AT_FDCWD), which stays open until the file is
 * committed; returns its fd, or -1 (EEXIST). One file at a time.
 */
int staging_open(int directory, const char *path, mode_t mode);

/* Renames the file to `target` below the same directory, unless that is its name, and closes it. */
bool staging_commit(const char *target);

#endif
