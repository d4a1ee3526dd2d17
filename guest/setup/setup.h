/* Sets up what the host attaches to a VM or limits in it, after a boot: volumes, mounts, sysctls, limits, swap. */
#ifndef BANGER_SETUP_H
#define BANGER_SETUP_H

/*
 * Runs steps in their order; the first failure ends it:
 *   mount SOURCE TARGET TYPE FLAGS DATA, as mount(2) has them; the target is created
 *   volume DISK TARGET: an ext4 for writing; while it is empty it gets a copy of what the target holds
 *   grow DISK TARGET BYTES: the ext4 that is mounted there, once the disk has that size
 *   write PATH TEXT: to a file of procfs
 *   limits TEXT: "RESOURCE SOFT HARD" for each, for all processes that the agent starts; see limits_set()
 *   swap BYTES: in a file on the writable layer's disk
 */
int setup_run(char **words);

#endif
