/* A tree of the machine as a tar archive on stdout, as a program. */
#ifndef BANGER_TAROUT_H
#define BANGER_TAROUT_H

/*
 * PATH NAME: the thing at PATH, named NAME in the archive, and all below it. PAX format; owner, mode,
 * times to the nanosecond, links, holes and extended attributes are kept. Sockets are left out, and so is
 * what is mounted from the kernel (proc, sysfs and their like).
 */
int tar_out(char **arguments);

#endif
