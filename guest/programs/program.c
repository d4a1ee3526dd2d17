#include "programs/program.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "files/changes.h"
#include "files/files.h"
#include "files/sftp.h"
#include "files/tarin.h"
#include "files/tarout.h"
#include "programs/datagrams.h"
#include "programs/freeze.h"
#include "programs/listen.h"
#include "programs/processes.h"
#include "programs/relay.h"
#include "programs/session.h"
#include "programs/sockets.h"
#include "programs/stats.h"
#include "programs/step.h"
#include "programs/unsynced.h"

#define ANY_NUMBER (-1)

static const struct program {
	const char *name;
	/* Number of arguments after the name; ANY_NUMBER is at least one. */
	int arguments;
	int (*run)(char **arguments);
} programs[] = {
	{ "tar-out", ANY_NUMBER, tar_out },
	{ "tar-in", 2, tar_in },
	{ "stat", 1, files_stat },
	{ "list", 1, files_list },
	{ "tree", 1, tar_tree },
	{ "read", 3, files_read },
	{ "write", 2, files_write },
	{ "mkdir", 3, files_mkdir },
	{ "remove", 2, files_remove },
	{ "watch", 2, changes_watch },
	{ "freeze", 0, freeze_disk },
	{ "ports", 0, sockets_list },
	{ "processes", 0, processes_list },
	{ "sftp", 0, sftp_serve },
	{ "listen", 3, listen_serve },
	{ "datagrams", 2, datagrams_carry },
	{ "stats", 0, stats_print },
	{ "session-start", 2, session_start },
	{ "session-list", 1, session_list },
	{ "session-attach", 3, session_attach },
	{ "session-send", 3, session_send },
	{ "session-control", 4, session_control },
	{ "relay", 5, relay_serve },
	{ "step", ANY_NUMBER, step_run },
	{ "unsynced", ANY_NUMBER, unsynced_run },
};

int program_run(int count, char **arguments)
{
	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
		int wanted = programs[i].arguments;
		bool fits = wanted == ANY_NUMBER ? count > 1 : count - 1 == wanted;
		if (count > 0 && fits && strcmp(arguments[0], programs[i].name) == 0)
			return programs[i].run(arguments + 1);
	}
	return -1;
}
