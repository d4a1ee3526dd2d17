/* The program `watch`: reports file system changes below a path as they happen. */
#ifndef BANGER_CHANGES_H
#define BANGER_CHANGES_H

/*
 * PATH RECURSIVE: prints an entry field for each change, with TAG_KIND, TAG_PATH, and TAG_FILE_MODE if it is a
 * directory, until the path is removed or stdout is closed. CHANGE_READY comes first: nothing is missed after it.
 * CHANGE_OVERFLOW: some changes were missed.
 */
int changes_watch(char **arguments);

#endif
