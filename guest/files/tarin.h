/* The program `tar-in`: extracts a tar archive from stdin below a directory. */
#ifndef BANGER_TARIN_H
#define BANGER_TARIN_H

/*
 * PATH OWNER: extracts below the directory PATH, which is created if missing. An empty OWNER keeps the archive's
 * owners if the user may change owners; "self" makes the extracting user the owner. Reads ustar, pax and GNU
 * archives. Nothing is written outside of PATH: ".." is rejected, and symlinks are resolved as if PATH were the root. Prints TAG_COUNT, the number of entries.
 */
int tar_in(char **arguments);

#endif
