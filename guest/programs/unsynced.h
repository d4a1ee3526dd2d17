/* The program `unsynced`: runs a command whose writes are not waited for. */
#ifndef BANGER_UNSYNCED_H
#define BANGER_UNSYNCED_H

/* Takes the command's arguments; does not return. */
int unsynced_run(char **arguments);

#endif
