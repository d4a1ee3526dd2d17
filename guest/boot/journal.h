/*
 * Has journald take a new machine ID and boot ID. It keeps those of its start, and its restart takes a second or two where
 * it is emulated: they are replaced in its memory instead.
 */
#ifndef BANGER_JOURNAL_H
#define BANGER_JOURNAL_H

#include <stdbool.h>

/* Each as 32 hexadecimal digits. */
struct journal_ids {
	char machine[32];
	char boot[32];
	char end;
};

/* The IDs of now, the boot ID from that file; false if there are none. */
bool journal_ids(struct journal_ids *ids, const char *boot_id_path);

/*
 * What was logged under the IDs `old` stays readable. Where they are not found in its memory, journald is ended, which
 * systemd starts again. False if it does not write to its journal then.
 */
bool journal_renew(const struct journal_ids *old);

#endif
