/* A tar archive from stdin into a folder of the machine, as a program. */
#ifndef BANGER_TARIN_H
#define BANGER_TARIN_H

/*
 * PATH OWNER: extracts below the folder PATH, which is made if it is missing. An empty OWNER keeps the
 * owners of the archive where the user may give files away; "self" leaves everything to the user that
 * extracts. Reads ustar, PAX and GNU archives. Nothing is written outside of PATH: ".." is refused, and
 * symlinks are followed as if PATH were the root. Prints TAG_COUNT, the number of entries.
 */
int tar_in(char **arguments);

#endif
