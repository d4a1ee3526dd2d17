#include "programs/sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/procfs.h"
#include "wire/protocol.h"
#include "wire/reply.h"

#define MAX_SOCKETS 1024
#define TCP_STATE_LISTEN 0x0a
#define UDP_STATE_UNCONNECTED 0x07

/* Fields of a line of /proc/net/tcp and its like, with address and port separate. */
enum { TABLE_ADDRESS = 1, TABLE_PORT = 2, TABLE_STATE = 5, TABLE_UID = 11, TABLE_INODE = 13, TABLE_WORDS = 14 };

static struct socket {
	const char *protocol;
	char address[INET6_ADDRSTRLEN];
	unsigned port;
	unsigned uid;
	uint64_t inode;
	/* 0: no visible process. */
	int pid;
	char process[64];
} sockets[MAX_SOCKETS];
static int socket_count;

/* The kernel prints each 32-bit word in host byte order. */
static bool parse_address(const char *hex, bool is_v6, char *text)
{
	uint32_t words[4];
	for (int i = 0; i < (is_v6 ? 4 : 1); i++) {
		char word[9];
		snprintf(word, sizeof word, "%.8s", hex + 8 * i);
		words[i] = (uint32_t)strtoul(word, NULL, 16);
	}
	return inet_ntop(is_v6 ? AF_INET6 : AF_INET, words, text, INET6_ADDRSTRLEN) != NULL;
}

static void read_table(const char *path, const char *protocol, unsigned wanted_state, bool is_v6)
{
	char line[512], *words[TABLE_WORDS];
	FILE *file = fopen(path, "re");
	while (file && socket_count < MAX_SOCKETS && fgets(line, sizeof line, file)) {
		struct socket *one = &sockets[socket_count];
		if (procfs_split(line, " :\n", words, TABLE_WORDS) < TABLE_WORDS || strtoul(words[TABLE_STATE], NULL, 16) != wanted_state)
			continue;
		const char *hex = words[TABLE_ADDRESS];
		if (strlen(hex) != (is_v6 ? 32 : 8) || !parse_address(hex, is_v6, one->address))
			continue;
		one->protocol = protocol;
		one->port = (unsigned)strtoul(words[TABLE_PORT], NULL, 16);
		one->uid = (unsigned)procfs_number(words[TABLE_UID]);
		one->inode = procfs_number(words[TABLE_INODE]);
		socket_count++;
	}
	if (file)
		fclose(file);
}

static void note_owner(uint64_t inode, const char *pid)
{
	char path[64];
	for (int i = 0; i < socket_count; i++) {
		struct socket *one = &sockets[i];
		if (one->inode != inode || one->pid != 0)
			continue;
		one->pid = atoi(pid);
		format_path(path, sizeof path, "/proc/%.20s/comm", pid);
		if (read_file(path, one->process, sizeof one->process) < 0)
			one->process[0] = 0;
		one->process[strcspn(one->process, "\n")] = 0;
	}
}

static void look_into(const char *pid)
{
	char path[320], target[64];
	struct dirent *entry;
	format_path(path, sizeof path, "/proc/%.20s/fd", pid);
	DIR *directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
		if (length <= 0)
			continue;
		target[length] = 0;
		if (strncmp(target, "socket:[", 8) == 0)
			note_owner(procfs_number(target + 8), pid);
	}
	if (directory)
		closedir(directory);
}

static void find_owners(void)
{
	struct dirent *entry;
	DIR *directory = opendir("/proc");
	while (directory && (entry = readdir(directory))) {
		if (atoi(entry->d_name) > 0)
			look_into(entry->d_name);
	}
	if (directory)
		closedir(directory);
}

int sockets_list(char **arguments)
{
	(void)arguments;
	read_table("/proc/net/tcp", "tcp", TCP_STATE_LISTEN, false);
	read_table("/proc/net/tcp6", "tcp", TCP_STATE_LISTEN, true);
	read_table("/proc/net/udp", "udp", UDP_STATE_UNCONNECTED, false);
	read_table("/proc/net/udp6", "udp", UDP_STATE_UNCONNECTED, true);
	find_owners();
	for (int i = 0; i < socket_count; i++) {
		uint8_t inner[256], outer[300];
		struct field_writer one = { .bytes = inner, .size = sizeof inner };
		struct field_writer entry = { .bytes = outer, .size = sizeof outer };
		field_put_text(&one, TAG_PROTOCOL_NAME, sockets[i].protocol);
		field_put_text(&one, TAG_HOST, sockets[i].address);
		field_put_number(&one, TAG_PORT, sockets[i].port);
		field_put_number(&one, TAG_FILE_UID, sockets[i].uid);
		if (sockets[i].pid) {
			field_put_number(&one, TAG_PID, (uint64_t)sockets[i].pid);
			field_put_text(&one, TAG_TEXT, sockets[i].process);
		}
		field_put(&entry, TAG_ENTRY, inner, one.length);
		reply_put_fields(&entry);
	}
	return 0;
}
