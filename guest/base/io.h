/* Reads, writes and creates files and directories; prints messages to the console. */
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

/* Prints a message, with errno's text if errno is not 0, and exits: in PID 1 that makes the kernel panic. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Creates `path` and its missing parents. */
bool make_dirs(const char *path, mode_t mode);

/* Reads at most size - 1 bytes and appends a NUL; -1 if the file cannot be opened. */
ssize_t read_file(const char *path, char *buffer, size_t size);

bool write_all(int fd, const void *bytes, size_t length);

/* Replaces whatever is at `path`, except a directory, with a new file. A symlink is replaced, not followed. */
bool replace_file(const char *path, const void *bytes, size_t length, mode_t mode);

/*
 * Writes in place to a file that has one name. Not atomic, and much cheaper than replace_file() where no code of the
 * kernel's is translated yet, as after a restore with emulation.
 */
bool overwrite_file(const char *path, const void *bytes, size_t length);

/* Writes to an existing file of procfs, sysfs or cgroupfs. */
bool write_knob(const char *path, const char *text);

bool copy_file(const char *from, const char *to, mode_t mode);

/* Milliseconds since boot. */
uint64_t uptime_ms(void);

/* Formats a path of the agent's own; exits if it does not fit the buffer. */
void format_path(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
