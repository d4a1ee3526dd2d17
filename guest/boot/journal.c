#include "boot/journal.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "base/procfs.h"

/* The kernel cuts the names of processes to this length. */
#define JOURNALD "systemd-journal\n"
#define LIMIT_MS 15000
#define STEP_US 2000
#define HEX_BYTES 32
#define ID_BYTES 16
#define CHUNK_BYTES 65536
#define PAGE_BYTES 4096
/* In its memory, or swapped out: the upper two bits of an entry of pagemap. */
#define PAGE_USED_SHIFT 62
/* In the header of a journal, see systemd's journal-def.h. */
#define MACHINE_ID_OFFSET 40
/* Up to systemd 252 each entry has its boot ID from here. */
#define BOOT_ID_OFFSET 56
#define SEQNUM_ID_OFFSET 72
/* Of systemd 254 and later: begins with the sequence's ID. */
#define SEQNUM_PATH "/run/systemd/journal/seqnum"

static const char *const directories[] = { "/run/log/journal", "/var/log/journal" };

/* What is replaced by what. */
struct pattern {
	uint8_t old[HEX_BYTES];
	uint8_t new[HEX_BYTES];
	size_t length;
	unsigned found;
};

/* The digits of a file without its dashes. */
static bool read_id(const char *path, char *id)
{
	char text[64];
	size_t length = 0;
	if (read_file(path, text, sizeof text) <= 0)
		return false;
	for (const char *at = text; *at && length < HEX_BYTES; at++) {
		if (*at != '-' && *at != '\n')
			id[length++] = *at;
	}
	return length == HEX_BYTES;
}

bool journal_ids(struct journal_ids *ids, const char *boot_id_path)
{
	ids->end = 0;
	return read_id("/etc/machine-id", ids->machine) && read_id(boot_id_path, ids->boot);
}

static void parse_id(uint8_t *bytes, const char *id)
{
	for (size_t i = 0; i < ID_BYTES; i++) {
		const char digits[] = { id[2 * i], id[2 * i + 1], 0 };
		bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
}

/* As text, and as bytes. */
static void add_patterns(struct pattern *patterns, const char *old, const char *new)
{
	patterns[0].length = HEX_BYTES;
	memcpy(patterns[0].old, old, HEX_BYTES);
	memcpy(patterns[0].new, new, HEX_BYTES);
	patterns[1].length = ID_BYTES;
	parse_id(patterns[1].old, old);
	parse_id(patterns[1].new, new);
}

static void replace_in_chunk(int memory, const uint8_t *bytes, size_t length, off_t address, struct pattern *patterns, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct pattern *pattern = &patterns[i];
		const uint8_t *at = bytes;
		while ((at = memmem(at, length - (size_t)(at - bytes), pattern->old, pattern->length))) {
			if (pwrite(memory, pattern->new, pattern->length, address + (at - bytes)) > 0)
				pattern->found++;
			at += pattern->length;
		}
	}
}

/* False if no page of it was ever written or read. */
static bool is_used(int pages, off_t address, size_t length)
{
	uint64_t entries[CHUNK_BYTES / PAGE_BYTES + 1];
	off_t first = address / PAGE_BYTES;
	size_t size = (size_t)((address + (off_t)length - 1) / PAGE_BYTES - first + 1) * sizeof *entries;
	ssize_t got = pread(pages, entries, size, first * (off_t)sizeof *entries);
	bool is_known = got == (ssize_t)size;
	for (size_t i = 0; is_known && i < size / sizeof *entries; i++) {
		if (entries[i] >> PAGE_USED_SHIFT)
			return true;
	}
	return !is_known;
}

/* In memory that is the process's own. */
static void replace_in(pid_t pid, struct pattern *patterns, size_t count)
{
	static uint8_t chunk[CHUNK_BYTES];
	static char maps[CHUNK_BYTES];
	char path[64], *rest;
	format_path(path, sizeof path, "/proc/%d/maps", pid);
	ssize_t length = read_file(path, maps, sizeof maps);
	format_path(path, sizeof path, "/proc/%d/pagemap", pid);
	int pages = open(path, O_RDONLY | O_CLOEXEC);
	format_path(path, sizeof path, "/proc/%d/mem", pid);
	int memory = length > 0 ? open(path, O_RDWR | O_CLOEXEC) : -1;
	for (char *line = memory < 0 ? NULL : strtok_r(maps, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *end;
		off_t at = (off_t)strtoull(line, &end, 16), stop = (off_t)strtoull(end + 1, &end, 16);
		if (strncmp(end, " rw-p", 5) != 0)
			continue;
		/* What is at the end of one chunk is at the beginning of the next as well. */
		for (ssize_t got; stop > at; at += got - HEX_BYTES) {
			size_t wanted = stop - at < CHUNK_BYTES ? (size_t)(stop - at) : CHUNK_BYTES;
			got = (ssize_t)wanted;
			if (is_used(pages, at, wanted)) {
				got = pread(memory, chunk, wanted, at);
				if (got <= HEX_BYTES)
					break;
				replace_in_chunk(memory, chunk, (size_t)got, at, patterns, count);
			}
			if (at + got >= stop)
				break;
		}
	}
	if (memory >= 0)
		close(memory);
	if (pages >= 0)
		close(pages);
}

/* 0 if it does not run. */
static pid_t find_journald(void)
{
	pid_t found = 0;
	struct dirent *entry;
	DIR *directory = opendir("/proc");
	while (directory && !found && (entry = readdir(directory))) {
		char path[300], name[32];
		pid_t pid = (pid_t)procfs_number(entry->d_name);
		if (pid <= 1)
			continue;
		format_path(path, sizeof path, "/proc/%s/comm", entry->d_name);
		if (read_file(path, name, sizeof name) > 0 && strcmp(name, JOURNALD) == 0)
			found = pid;
	}
	if (directory)
		closedir(directory);
	return found;
}

/* The path of the current journal there, which has moved with its directory; empty if there is none. */
static void move(char *path, size_t size, const char *directory, const char *old, const char *new)
{
	char from[192], to[192];
	path[0] = 0;
	format_path(from, sizeof from, "%s/%.32s", directory, old);
	format_path(to, sizeof to, "%s/%.32s", directory, new);
	if (access(to, F_OK) < 0 && rename(from, to) == 0)
		format_path(path, size, "%s/system.journal", to);
	if (access(path, F_OK) < 0)
		path[0] = 0;
}

/* journald has mapped the file. */
static void write_id(const char *path, const uint8_t *id, off_t offset)
{
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, id, ID_BYTES, offset) < 0)
		say("Cannot write an ID to \"%s\"", path);
	if (fd >= 0)
		close(fd);
}

/* Entries are known by the ID of their sequence and their number in it, so that it has to be another one in each machine. */
static void change_journals(char (*paths)[256], const struct journal_ids *new)
{
	uint8_t machine[ID_BYTES], boot[ID_BYTES], sequence[ID_BYTES];
	parse_id(machine, new->machine);
	parse_id(boot, new->boot);
	if (getrandom(sequence, sizeof sequence, 0) != sizeof sequence)
		return;
	for (size_t i = 0; i < 2; i++) {
		if (!paths[i][0])
			continue;
		write_id(paths[i], machine, MACHINE_ID_OFFSET);
		write_id(paths[i], boot, BOOT_ID_OFFSET);
		write_id(paths[i], sequence, SEQNUM_ID_OFFSET);
	}
	if (access(SEQNUM_PATH, F_OK) == 0)
		write_id(SEQNUM_PATH, sequence, 0);
}

/* journald begins new journals when it starts, under names that it finds free. */
static bool restart(pid_t pid, char (*paths)[256])
{
	uint64_t until = uptime_ms() + LIMIT_MS;
	for (size_t i = 0; i < 2; i++) {
		char archived[300];
		char *slash = strrchr(paths[i], '/');
		if (!slash)
			continue;
		format_path(archived, sizeof archived, "%.*s/system@0000000000000000-0000000000000000.journal~", (int)(slash - paths[i]),
			    paths[i]);
		rename(paths[i], archived);
	}
	kill(pid, SIGTERM);
	while ((paths[0][0] && access(paths[0], F_OK) < 0) || (paths[1][0] && access(paths[1], F_OK) < 0)) {
		if (uptime_ms() > until)
			return false;
		usleep(STEP_US);
	}
	return true;
}

/* A boot without an entry is none to journalctl. */
static void log_restore(void)
{
	static const char entry[] = "PRIORITY=6\nSYSLOG_IDENTIFIER=banger\nMESSAGE=The machine was restored\n";
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, entry, sizeof entry - 1, 0, (struct sockaddr *)&address, sizeof address) < 0)
		say("Cannot write to the journal");
	if (fd >= 0)
		close(fd);
}

bool journal_renew(const struct journal_ids *old)
{
	struct journal_ids new;
	struct pattern patterns[4] = { { .length = 0 } };
	char paths[2][256];
	pid_t pid = find_journald();
	if (pid == 0 || !journal_ids(&new, BOOT_ID_PATH))
		return true;
	add_patterns(patterns, old->machine, new.machine);
	add_patterns(patterns + 2, old->boot, new.boot);
	kill(pid, SIGSTOP);
	replace_in(pid, patterns, 4);
	for (size_t i = 0; i < 2; i++)
		move(paths[i], sizeof paths[i], directories[i], old->machine, new.machine);
	change_journals(paths, &new);
	kill(pid, SIGCONT);
	/* Every version has the text of both in each entry. */
	if (patterns[0].found == 0 || patterns[2].found == 0)
		return restart(pid, paths);
	log_restore();
	return true;
}
