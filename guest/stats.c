#include "stats.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "io.h"
#include "paths.h"
#include "program.h"
#include "protocol.h"

#define SECTOR_BYTES 512
/* USER_HZ, the unit of /proc/stat, is the same on every machine. */
#define MS_PER_TICK 10
/* Of disks, and of interfaces. */
#define MAX_ENTRIES 64

static uint8_t bytes[32768];
static struct field_writer writer = { .bytes = bytes, .size = sizeof bytes };

static void put_cpu(void)
{
	char line[512];
	unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
	FILE *file = fopen("/proc/stat", "re");
	if (file && fgets(line, sizeof line, file) &&
	    sscanf(line, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal) == 8) {
		field_put_number(&writer, TAG_CPU_USER_MS, (user + nice) * MS_PER_TICK);
		field_put_number(&writer, TAG_CPU_SYSTEM_MS, (system + irq + softirq) * MS_PER_TICK);
		field_put_number(&writer, TAG_CPU_IDLE_MS, idle * MS_PER_TICK);
		field_put_number(&writer, TAG_CPU_IOWAIT_MS, iowait * MS_PER_TICK);
		field_put_number(&writer, TAG_CPU_STEAL_MS, steal * MS_PER_TICK);
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
		{ "MemTotal:", TAG_MEMORY_TOTAL },	{ "MemAvailable:", TAG_MEMORY_AVAILABLE }, { "MemFree:", TAG_MEMORY_FREE },
		{ "Cached:", TAG_MEMORY_CACHED },	{ "SwapTotal:", TAG_SWAP_TOTAL },	   { "SwapFree:", TAG_SWAP_FREE },
	};
	char line[256], name[64];
	unsigned long long kib;
	FILE *file = fopen("/proc/meminfo", "re");
	while (file && fgets(line, sizeof line, file)) {
		if (sscanf(line, "%63s %llu", name, &kib) != 2)
			continue;
		for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
			if (strcmp(name, wanted[i].name) == 0)
				field_put_number(&writer, wanted[i].tag, kib * 1024);
		}
	}
	if (file)
		fclose(file);
}

/* The writable layer where there is one: its root shows the image's sizes as well. */
static void put_space(void)
{
	struct statvfs info;
	if (statvfs(access(DISK_PATH "/upper", F_OK) == 0 ? DISK_PATH : "/", &info) < 0)
		return;
	field_put_number(&writer, TAG_SPACE_TOTAL, (uint64_t)info.f_blocks * info.f_frsize);
	field_put_number(&writer, TAG_SPACE_AVAILABLE, (uint64_t)info.f_bavail * info.f_frsize);
	field_put_number(&writer, TAG_SPACE_USED, (uint64_t)(info.f_blocks - info.f_bfree) * info.f_frsize);
}

static void put_disks(void)
{
	char line[512], name[64];
	unsigned long long reads, read_sectors, writes, written_sectors;
	FILE *file = fopen("/proc/diskstats", "re");
	for (int count = 0; file && count < MAX_ENTRIES && fgets(line, sizeof line, file);) {
		uint8_t inner[256];
		struct field_writer one = { .bytes = inner, .size = sizeof inner };
		if (sscanf(line, "%*d %*d %63s %llu %*u %llu %*u %llu %*u %llu", name, &reads, &read_sectors, &writes, &written_sectors) != 5 ||
		    strncmp(name, "loop", 4) == 0 || strncmp(name, "ram", 3) == 0)
			continue;
		field_put_text(&one, TAG_FILE_NAME, name);
		field_put_number(&one, TAG_READ_BYTES, read_sectors * SECTOR_BYTES);
		field_put_number(&one, TAG_READ_COUNT, reads);
		field_put_number(&one, TAG_WRITE_BYTES, written_sectors * SECTOR_BYTES);
		field_put_number(&one, TAG_WRITE_COUNT, writes);
		field_put(&writer, TAG_DISK, inner, one.length);
		count++;
	}
	if (file)
		fclose(file);
}

static void put_interfaces(void)
{
	char line[512], name[64];
	unsigned long long in_bytes, in_packets, in_errors, in_dropped, out_bytes, out_packets, out_errors, out_dropped;
	FILE *file = fopen("/proc/net/dev", "re");
	for (int count = 0; file && count < MAX_ENTRIES && fgets(line, sizeof line, file);) {
		uint8_t inner[256];
		struct field_writer one = { .bytes = inner, .size = sizeof inner };
		if (sscanf(line, " %63[^: ]: %llu %llu %llu %llu %*u %*u %*u %*u %llu %llu %llu %llu", name, &in_bytes, &in_packets, &in_errors,
			   &in_dropped, &out_bytes, &out_packets, &out_errors, &out_dropped) != 9)
			continue;
		field_put_text(&one, TAG_FILE_NAME, name);
		field_put_number(&one, TAG_READ_BYTES, in_bytes);
		field_put_number(&one, TAG_READ_COUNT, in_packets);
		field_put_number(&one, TAG_READ_LOST, in_errors + in_dropped);
		field_put_number(&one, TAG_WRITE_BYTES, out_bytes);
		field_put_number(&one, TAG_WRITE_COUNT, out_packets);
		field_put_number(&one, TAG_WRITE_LOST, out_errors + out_dropped);
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
	program_put_fields(&writer);
	return 0;
}
