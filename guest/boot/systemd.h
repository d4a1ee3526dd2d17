/* Runs the agent as a systemd service although it was started before systemd. */
#ifndef BANGER_SYSTEMD_H
#define BANGER_SYSTEMD_H

/* Writes the agent's unit, masks units that would wait for missing devices, and installs SHUTDOWN_PATH. Called before systemd starts. */
void systemd_prepare(void);

/*
 * The unit's ExecStart: moves the running agent into the unit's cgroup, so that it becomes the unit's main process
 * and keeps its streams. Starts an agent if none runs.
 */
int systemd_join(void);

#endif
