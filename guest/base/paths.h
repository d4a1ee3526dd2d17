/* Every name that the agent uses in the initrd and in the running machine. */
#ifndef BANGER_PATHS_H
#define BANGER_PATHS_H

/* In the initrd. */
#define BOOT_RECORD_PATH "/banger/boot"
#define INITRD_FIRST_BOOT_PATH "/banger/first-boot"
#define NEW_ROOT "/newroot"

/* In the machine. The folder belongs to root alone and is gone with the machine. */
#define RUN_FOLDER "/run"
#define STATE_FOLDER RUN_FOLDER "/banger"
#define AGENT_PATH STATE_FOLDER "/banger-vsock-agent"
#define KEPT_RECORD_PATH STATE_FOLDER "/boot"
#define PHASES_PATH STATE_FOLDER "/phases"
#define PID_PATH STATE_FOLDER "/agent.pid"
#define NOTIFY_PATH STATE_FOLDER "/notify.sock"
#define INSTALL_LOG_PATH STATE_FOLDER "/first-boot.log"
/* The writable layer below an overlay root. */
#define DISK_PATH STATE_FOLDER "/disk"
/* What systemd runs as its very last. */
#define SHUTDOWN_FOLDER "/run/initramfs"
#define SHUTDOWN_PATH SHUTDOWN_FOLDER "/shutdown"
#define FIRST_BOOT_PATH "/usr/local/libexec/banger-first-boot"

#endif
