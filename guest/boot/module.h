/* Loads kernel modules from the initrd. */
#ifndef BANGER_MODULE_H
#define BANGER_MODULE_H

#include <stddef.h>
#include <stdint.h>

/* Loads the module at a path; a failure is printed and does not stop the boot. */
void module_load(const uint8_t *path, size_t length);

#endif
