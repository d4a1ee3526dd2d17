/*
 * The guest's last word to the host: that it ends because it was told to, and how. A machine that ends
 * without it has crashed. It goes to the virtio-serial port "org.banger.goodbye" or, where there is none,
 * to vsock port 1025 of the host: one line, "poweroff", "reboot" or "leaving", which the host answers.
 */
#ifndef BANGER_GOODBYE_H
#define BANGER_GOODBYE_H

/* Opens the way to the host while devices can still be opened. */
void goodbye_prepare(void);

/* Returns when the host has answered, or soon after. "leaving": all is ended, by whom and what for is not known. */
void goodbye_say(const char *how);

#endif
