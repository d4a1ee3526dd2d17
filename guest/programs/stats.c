#include "programs/stats.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "base/procfs.h"
#include "wire/protocol.h"
#include "wire/reply.h"

#define SECTOR_BYTES 512
/* USER_HZ, the unit of /proc/stat, is the same on all architectures. */
#define MS_PER_TICK 10
/* Of disks and of interfaces each. */
#define MAX_ENTRIES 64

static uint8_t bytes[32768];
static struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };

static void put_time(uint16_t tag, uint64_t ticks)
{
	field_put_number(&writer, tag, ticks * MS_PER_TICK);
}

static void put_cpu(void)
{
	enum { USER = 1, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, WORDS };
	char line[512], *words[WORDS];
	FILE *file = fopen("/proc/stat", "re");
	if (file && fgets(line, sizeof line, file) && procfs_split(line, " \n", words, WORDS) == WORDS) {
		put_time(TAG_CPU_USER_MS, procfs_number(words[USER]) + procfs_number(words[NICE]));
		put_time(TAG_CPU_SYSTEM_MS, procfs_number(words[SYSTEM]) + procfs_number(words[IRQ]) + procfs_number(words[SOFTIRQ]));
		put_time(TAG_CPU_IDLE_MS, procfs_number(words[IDLE]));
		put_time(TAG_CPU_IOWAIT_MS, procfs_number(words[IOWAIT]));
		put_time(TAG_CPU_STEAL_MS, procfs_number(words[STEAL]));
	}
	if (file)
		fclose(file);
	field_put_number(&writer, TAG_CPU_COUNT, (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
}

static void put_memory(void)
{
	static const struct {
		const char *name;
		uint16_t tag;
	} wanted[] = {
		{ "MemTotal:", TAG_MEMORY_TOTAL_BYTES },	{ "MemAvailable:", TAG_MEMORY_AVAILABLE_BYTES }, { "MemFree:", TAG_MEMORY_FREE_BYTES },
		{ "Cached:", TAG_MEMORY_CACHED_BYTES },	{ "SwapTotal:", TAG_SWAP_TOTAL_BYTES },	   { "SwapFree:", TAG_SWAP_FREE_BYTES },
	};
	char line[256], *words[2];
	FILE *file = fopen("/proc/meminfo", "re");
	while (file && fgets(line, sizeof line, file)) {
		if (procfs_split(line, " \n", words, 2) < 2)
			continue;
		for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
			if (strcmp(words[0], wanted[i].name) == 0)
				field_put_number(&writer, wanted[i].tag, procfs_number(words[1]) * 1024);
		}
	}
	if (file)
		fclose(file);
}

/* Usage of the writable layer if there is one: an overlay root includes the image. */
static void put_space(void)
{
	struct statvfs info;
	if (statvfs(access(DISK_PATH "/upper", F_OK) == 0 ? DISK_PATH : "/", &info) < 0)
		return;
	field_put_number(&writer, TAG_SPACE_TOTAL_BYTES, (uint64_t)info.f_blocks * info.f_frsize);
	field_put_number(&writer, TAG_SPACE_AVAILABLE_BYTES, (uint64_t)info.f_bavail * info.f_frsize);
	field_put_number(&writer, TAG_SPACE_USED_BYTES, (uint64_t)(info.f_blocks - info.f_bfree) * info.f_frsize);
}

static void put_disks(void)
{
	enum { NAME = 2, READS = 3, READ_SECTORS = 5, WRITES = 7, WRITTEN_SECTORS = 9, WORDS };
	char line[512], *words[WORDS];
	FILE *file = fopen("/proc/diskstats", "re");
	for (int count = 0; file && count < MAX_ENTRIES && fgets(line, sizeof line, file);) {
		uint8_t inner[256];
		struct field_writer one = { .bytes = inner, .size = sizeof inner };
		if (procfs_split(line, " \n", words, WORDS) < WORDS || strncmp(words[NAME], "loop", 4) == 0 || strncmp(words[NAME], "ram", 3) == 0)
			continue;
		field_put_text(&one, TAG_FILE_NAME, words[NAME]);
		field_put_number(&one, TAG_READ_BYTES, procfs_number(words[READ_SECTORS]) * SECTOR_BYTES);
		field_put_number(&one, TAG_READ_COUNT, procfs_number(words[READS]));
		field_put_number(&one, TAG_WRITE_BYTES, procfs_number(words[WRITTEN_SECTORS]) * SECTOR_BYTES);
		field_put_number(&one, TAG_WRITE_COUNT, procfs_number(words[WRITES]));
		field_put(&writer, TAG_DISK, inner, one.length);
		count++;
	}
	if (file)
		fclose(file);
}

static void put_interfaces(void)
{
	enum { NAME, IN_BYTES, IN_PACKETS, IN_ERRORS, IN_DROPPED, OUT_BYTES = 9, OUT_PACKETS, OUT_ERRORS, OUT_DROPPED, WORDS };
	char line[512], *words[WORDS];
	FILE *file = fopen("/proc/net/dev", "re");
	for (int count = 0; file && count < MAX_ENTRIES && fgets(line, sizeof line, file);) {
		uint8_t inner[256];
		struct field_writer one = { .bytes = inner, .size = sizeof inner };
		/* The first two lines are headings. */
		if (strchr(line, '|') || procfs_split(line, " :\n", words, WORDS) < WORDS)
			continue;
		field_put_text(&one, TAG_FILE_NAME, words[NAME]);
		field_put_number(&one, TAG_READ_BYTES, procfs_number(words[IN_BYTES]));
		field_put_number(&one, TAG_READ_COUNT, procfs_number(words[IN_PACKETS]));
		field_put_number(&one, TAG_READ_LOST, procfs_number(words[IN_ERRORS]) + procfs_number(words[IN_DROPPED]));
		field_put_number(&one, TAG_WRITE_BYTES, procfs_number(words[OUT_BYTES]));
		field_put_number(&one, TAG_WRITE_COUNT, procfs_number(words[OUT_PACKETS]));
		field_put_number(&one, TAG_WRITE_LOST, procfs_number(words[OUT_ERRORS]) + procfs_number(words[OUT_DROPPED]));
		field_put(&writer, TAG_INTERFACE, inner, one.length);
		count++;
	}
	if (file)
		fclose(file);
}

int stats_print(char **arguments)
{
	struct sysinfo info;
	(void)arguments;
	field_put_number(&writer, TAG_UPTIME_MS, uptime_ms());
	if (sysinfo(&info) == 0) {
		field_put_number(&writer, TAG_LOAD_MILLI, (uint64_t)info.loads[0] * 1000 / 65536);
		field_put_number(&writer, TAG_PROCESSES, info.procs);
	}
	put_cpu();
	put_memory();
	put_space();
	put_disks();
	put_interfaces();
	reply_put_fields(&writer);
	return 0;
}
