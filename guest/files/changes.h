/* What changes below a path, told as it happens. */
#ifndef BANGER_CHANGES_H
#define BANGER_CHANGES_H

/* TAG_KIND of an entry. Ready comes first, when nothing can be missed any more. */
enum change { CHANGE_READY, CHANGE_CREATED, CHANGE_CHANGED, CHANGE_ATTRIBUTES, CHANGE_REMOVED, CHANGE_OVERFLOW };

/*
 * PATH RECURSIVE: prints an entry field for each change, with TAG_KIND, TAG_PATH, and TAG_FILE_MODE of a
 * folder's type where it is one, until the path is gone or nobody reads. After an overflow some are missing.
 */
int changes_watch(char **arguments);

#endif
