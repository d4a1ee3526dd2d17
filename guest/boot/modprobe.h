/* The kernel's module loader helper, "modprobe -q -- NAME", for images with and without a modprobe of their own. */
#ifndef BANGER_MODPROBE_H
#define BANGER_MODPROBE_H

/* Loads a module by its name or alias; the exit status of modprobe. */
int modprobe_run(const char *name);

#endif
