/* The programs `tar-out` and `tree`: write files and directory trees to stdout. */
#ifndef BANGER_TAROUT_H
#define BANGER_TAROUT_H

/*
 * PATH NAME: archives PATH under the name NAME, with everything below it. pax format; owner, mode, mtime in
 * nanoseconds, links, holes and extended attributes are preserved. Sockets and kernel file systems (proc, sysfs and
 * their like) are omitted. With further pairs, paths that do not exist are omitted too.
 */
int tar_out(char **arguments);

/*
 * PATH: prints a record for PATH and everything below it: "MODE SIZE SECONDS.NANOSECONDS NAME", MODE in octal and NAME
 * relative to PATH, with a slash before it, then a zero byte; for a symlink its target and another zero byte.
 */
int tar_tree(char **arguments);

#endif
