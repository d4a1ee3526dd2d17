/* Small requests about files, as programs. Paths are those of the machine; a last symlink is not followed. */
#ifndef BANGER_FILES_H
#define BANGER_FILES_H

/* PATH: prints the fields of one entry. */
int files_stat(char **arguments);

/* PATH: prints an entry field for each thing in a folder, in no order. */
int files_list(char **arguments);

/* PATH OFFSET LENGTH: prints a file, or a part of it; an empty length is all. Follows symlinks. */
int files_read(char **arguments);

/* PATH MODE: makes a file of stdin, which takes the place of one that is there only when it is whole. */
int files_write(char **arguments);

/* PATH MODE PARENTS: PARENTS is "parents" or empty. */
int files_mkdir(char **arguments);

/* PATH RECURSIVE: RECURSIVE is "recursive" or empty. */
int files_remove(char **arguments);

#endif
