/*
 * The shutdown notice: tells the host that the guest is about to stop on purpose, and how. A VM that stops without
 * it has crashed. One line, "poweroff", "reboot" or "leaving", goes to the virtio-serial port GOODBYE_PORT_NAME or,
 * if there is none, to vsock port VSOCK_GOODBYE_PORT of the host, which acknowledges it.
 */
#ifndef BANGER_GOODBYE_H
#define BANGER_GOODBYE_H

/* Opens the connection while devices can still be opened. */
void goodbye_prepare(void);

/* Sends the line and waits briefly for the acknowledgement. "leaving": an init system is shutting down, and whether it powers off or reboots is not known. */
void goodbye_send(const char *how);

#endif
