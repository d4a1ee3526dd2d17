/* All paths that the agent uses, in the initrd and in the running VM. */
#ifndef BANGER_PATHS_H
#define BANGER_PATHS_H

/* In the initrd. */
#define BOOT_RECORD_PATH "/banger/boot"
#define INITRD_FIRST_BOOT_PATH "/banger/first-boot"
#define NEW_ROOT "/newroot"

/* In the VM: a directory in memory that only root can enter. */
#define RUN_DIRECTORY "/run"
#define STATE_DIRECTORY RUN_DIRECTORY "/banger"
#define AGENT_PATH STATE_DIRECTORY "/banger-vsock-agent"
#define KEPT_RECORD_PATH STATE_DIRECTORY "/boot"
#define PHASES_PATH STATE_DIRECTORY "/phases"
#define PID_PATH STATE_DIRECTORY "/agent.pid"
#define NOTIFY_PATH STATE_DIRECTORY "/notify.sock"
/* Exists in a template, for the first boot. */
#define TEMPLATE_PATH STATE_DIRECTORY "/template"
/* The boot ID of a template that was read, then the ID of a machine that was restored with another one's, over the kernel's one. */
#define OWN_BOOT_ID_PATH STATE_DIRECTORY "/boot-id"
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define INSTALL_LOG_PATH STATE_DIRECTORY "/first-boot.log"
/* The writable layer below an overlay root. */
#define DISK_PATH STATE_DIRECTORY "/disk"
/* Limits of processes; see setup.h. */
#define LIMITS_PATH STATE_DIRECTORY "/limits"
/* The kernel's modules, in every VM that has a disk with them. */
#define MODULES_PATH STATE_DIRECTORY "/modules"
/* The program that systemd runs last when it shuts down. */
#define SHUTDOWN_DIRECTORY "/run/initramfs"
#define SHUTDOWN_PATH SHUTDOWN_DIRECTORY "/shutdown"
#define FIRST_BOOT_PATH "/usr/local/libexec/banger-first-boot"

#endif
