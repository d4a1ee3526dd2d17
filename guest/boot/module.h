/* Kernel modules out of the initrd. */
#ifndef BANGER_MODULE_H
#define BANGER_MODULE_H

#include <stddef.h>
#include <stdint.h>

/* Loads the module at a path; says why if that fails, and goes on. */
void module_load(const uint8_t *path, size_t length);

#endif
