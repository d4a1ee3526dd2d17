/* Files, folders and messages for the console. */
#ifndef BANGER_IO_H
#define BANGER_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef BANGER_VERSION
#define BANGER_VERSION "0.0.0-dev"
#endif

/* Prints "banger: ..." on stderr, which is the console. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says why, with errno's text if errno is not 0, and gives up: as PID 1 that makes the kernel panic. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Makes the folders of `path` that are missing, the last one as well. */
bool make_dirs(const char *path, mode_t mode);

/* Reads at most size - 1 bytes and ends them with NUL; -1 if the file cannot be opened. */
ssize_t read_file(const char *path, char *buffer, size_t size);

bool write_all(int fd, const void *bytes, size_t length);

/* Puts a new file in the place of `path`, whatever that was but a folder: a symlink is replaced, not followed. */
bool replace_file(const char *path, const void *bytes, size_t length, mode_t mode);

/* Writes to what exists: procfs, sysfs, cgroupfs. */
bool write_knob(const char *path, const char *text);

bool copy_file(const char *from, const char *to, mode_t mode);

/* Milliseconds since boot. */
uint64_t uptime_ms(void);

/* Joins texts into a buffer of fixed size and dies if they do not fit; for paths of our own. */
void format_path(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
