/* The agent as a service of a systemd that was started after it. */
#ifndef BANGER_SYSTEMD_H
#define BANGER_SYSTEMD_H

/* Writes the unit, masks those that would wait in vain, and puts the end of the shutdown in its place. Called before systemd runs. */
void systemd_prepare(void);

/*
 * What the unit starts: moves the running agent into the unit's own control group, so that it is the
 * unit's main process with all its streams, and says that systemd is up. Starts an agent if none runs.
 */
int systemd_join(void);

#endif
