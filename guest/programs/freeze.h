/* The program `freeze`: freezes the writable layer so that the host can copy it while the VM runs. */
#ifndef BANGER_FREEZE_H
#define BANGER_FREEZE_H

/*
 * Direct mode only: terminates every other process, syncs and freezes the disk below the overlay root, then prints
 * one byte. Thaws the disk at the end of stdin.
 */
int freeze_disk(char **arguments);

#endif
