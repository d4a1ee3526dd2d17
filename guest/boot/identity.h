/*
 * Sets what distinguishes this VM: hostname, hosts, resolver, machine-id, keys, clock and entropy. Runs in the VM's
 * own root, so that a symlink in the image cannot lead out of it.
 */
#ifndef BANGER_IDENTITY_H
#define BANGER_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sets what needs no file system: hostname, clock, entropy. */
void identity_set_kernel(void);

/*
 * Writes the files below /etc and root's home. Failures are printed and do not stop the boot. True if the machine-id
 * is another one than before.
 */
bool identity_write_files(void);

/*
 * The running machine becomes the one of this boot record; what is the same already is left alone, but for clock and
 * entropy. Returns what is wrong, or NULL; then the host runs the program "settle" if `is_unsettled` is set.
 */
const char *identity_take(const uint8_t *bytes, size_t length, bool *is_unsettled);

#endif
