/*
 * What makes the machine itself: name, hosts, resolver, machine-id, keys, clock and entropy. Runs in
 * the machine's own root, so that a symlink of an image cannot lead out of it.
 */
#ifndef BANGER_IDENTITY_H
#define BANGER_IDENTITY_H

/* Needs no file system: name, clock, entropy. */
void identity_set_kernel(void);

/* Writes the files below /etc and root's home. Says what fails, and goes on. */
void identity_write_files(void);

#endif
