/* The program `tar-out`: writes a file or directory tree to stdout as a tar archive. */
#ifndef BANGER_TAROUT_H
#define BANGER_TAROUT_H

/*
 * PATH NAME: archives PATH under the name NAME, with everything below it. pax format; owner, mode, mtime in
 * nanoseconds, links, holes and extended attributes are preserved. Sockets and kernel file systems (proc, sysfs and
 * their like) are omitted.
 */
int tar_out(char **arguments);

#endif
