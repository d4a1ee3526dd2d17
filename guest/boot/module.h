/* Kernel modules: those that the boot loads, and /lib/modules of the running VM. */
#ifndef BANGER_MODULE_H
#define BANGER_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Loads a module of the initrd; a failure is only reported. */
void module_load(const uint8_t *name, size_t length);

/* Loads a module with its parameters. True if it was loaded already. */
bool module_insert(const char *path, const char *options);

/*
 * Mounts the disk with the kernel's modules, creates the device nodes that load modules when they are opened, and makes
 * this program the kernel's module loader. Called in the VM's root.
 */
void modules_mount(void);

/* The directory of the kernel's modules: the image's own, if it has one, else that of the disk. */
bool modules_tree(char *path, size_t size);

#endif
