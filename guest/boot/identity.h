/*
 * Sets what distinguishes this VM: hostname, hosts, resolver, machine-id, keys, clock and entropy. Runs in the VM's
 * own root, so that a symlink in the image cannot lead out of it.
 */
#ifndef BANGER_IDENTITY_H
#define BANGER_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

/* Sets what needs no file system: hostname, clock, entropy. */
void identity_set_kernel(void);

/* Writes the files below /etc and root's home. Failures are printed and do not stop the boot. */
void identity_write_files(void);

/* A machine restored from a template becomes the one of this boot record. Gives what is wrong, or NULL. */
const char *identity_take(const uint8_t *bytes, size_t length);

#endif
