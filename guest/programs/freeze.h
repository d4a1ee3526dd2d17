/* The writable layer held still, so that the host can read it while the machine runs, as a program. */
#ifndef BANGER_FREEZE_H
#define BANGER_FREEZE_H

/*
 * Ends every other process of a machine in direct mode, writes everything to the disk below the overlay
 * root and freezes that; prints one byte then. Thaws it at the end of stdin.
 */
int freeze_disk(char **arguments);

#endif
