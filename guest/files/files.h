/* The programs `stat`, `list`, `read`, `write`, `mkdir` and `remove`. Only `read` follows a symlink in the last component. */
#ifndef BANGER_FILES_H
#define BANGER_FILES_H

/* PATH: prints the fields of one entry. */
int files_stat(char **arguments);

/* PATH: prints an entry field for each directory entry, unordered. */
int files_list(char **arguments);

/* PATH OFFSET LENGTH: prints a file from OFFSET; an empty LENGTH reads to the end. Follows symlinks. */
int files_read(char **arguments);

/* PATH MODE: writes stdin to a file; an existing file is replaced once all of it has arrived. */
int files_write(char **arguments);

/* PATH MODE PARENTS: PARENTS is "parents" or empty. */
int files_mkdir(char **arguments);

/* PATH RECURSIVE: RECURSIVE is "recursive" or empty. */
int files_remove(char **arguments);

#endif
