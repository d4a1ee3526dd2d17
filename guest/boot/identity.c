#include "boot/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/account.h"
#include "base/io.h"
#include "base/paths.h"
#include "base/procfs.h"
#include "boot/journal.h"
#include "boot/network.h"
#include "boot/rootfs.h"
#include "boot/settle.h"
#include "run/exec.h"
#include "run/spawn.h"
#include "wire/bootrecord.h"

#define NS_PER_S 1000000000ULL
/* A smaller difference to the host's clock is left alone. */
#define CLOCK_TOLERANCE_S 2
#define MAX_FILE_BYTES 65536
#define HOSTS_BEGIN "# begin banger\n"
#define HOSTS_END "# end banger\n"

/* A file's text in a fixed buffer. */
static struct {
	size_t length;
	char bytes[MAX_FILE_BYTES];
} text;

static void add_bytes(const void *bytes, size_t length)
{
	if (length > sizeof text.bytes - text.length)
		return;
	memcpy(text.bytes + text.length, bytes, length);
	text.length += length;
}

static void add(const char *line)
{
	add_bytes(line, strlen(line));
}

static char old[MAX_FILE_BYTES + 2];

/* Nothing reads the files of a template yet, and they are there: it wrote its own when it booted. */
static bool is_template;

static bool write_out(const char *path, bool is_file, mode_t mode)
{
	return (is_template && is_file && overwrite_file(path, text.bytes, text.length)) ||
	       replace_file(path, text.bytes, text.length, mode);
}

/* True if the file had another content. */
static bool put(const char *path, mode_t mode)
{
	struct stat info;
	bool is_file = lstat(path, &info) == 0 && S_ISREG(info.st_mode);
	bool is_same = is_file && (size_t)info.st_size == text.length && read_file(path, old, sizeof old) == info.st_size &&
		       memcmp(old, text.bytes, text.length) == 0;
	if (!is_same && !write_out(path, is_file, mode))
		say("Cannot write \"%s\": %s", path, strerror(errno));
	text.length = 0;
	return !is_same;
}

static void set_clock(void)
{
	uint64_t wanted_ns = boot_record_number(TAG_BOOT_TIME_UNIX_NS, 0) + uptime_ms() * 1000000;
	struct timespec now, wanted = { .tv_sec = (time_t)(wanted_ns / NS_PER_S), .tv_nsec = (long)(wanted_ns % NS_PER_S) };
	if (!boot_record_has(TAG_BOOT_TIME_UNIX_NS) || clock_gettime(CLOCK_REALTIME, &now) < 0)
		return;
	if (llabs((long long)(now.tv_sec - wanted.tv_sec)) < CLOCK_TOLERANCE_S)
		return;
	if (clock_settime(CLOCK_REALTIME, &wanted) < 0)
		say("Cannot set the clock: %s", strerror(errno));
}

static void set_clock_now(void)
{
	uint64_t wanted_ns = boot_record_number(TAG_BOOT_TIME_UNIX_NS, 0);
	struct timespec wanted = { .tv_sec = (time_t)(wanted_ns / NS_PER_S), .tv_nsec = (long)(wanted_ns % NS_PER_S) };
	if (wanted_ns != 0 && clock_settime(CLOCK_REALTIME, &wanted) < 0)
		say("Cannot set the clock: %s", strerror(errno));
}

static void add_entropy(void)
{
	struct field field;
	struct {
		struct rand_pool_info info;
		uint8_t bytes[512];
	} seed;
	if (!boot_record_field(TAG_BOOT_ENTROPY_SEED, &field) || field.length == 0 || field.length > sizeof seed.bytes)
		return;
	seed.info.entropy_count = (int)field.length * 8;
	seed.info.buf_size = (int)field.length;
	memcpy(seed.info.buf, field.value, field.length);
	int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &seed) < 0)
		say("Cannot seed the random number generator: %s", strerror(errno));
	else if (ioctl(fd, RNDRESEEDCRNG) < 0)
		say("Cannot reseed the random number generator: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	explicit_bzero(&seed, sizeof seed);
}

static void set_hostname(void)
{
	char name[65];
	if (boot_record_text(TAG_BOOT_HOSTNAME, name, sizeof name) && sethostname(name, strlen(name)) < 0)
		say("Cannot set the hostname: %s", strerror(errno));
}

/* Limits that distributions and container engines raise, because the kernel's defaults are too low today. */
static void set_limits(void)
{
	static const char *const knobs[][2] = {
		{ "net/ipv4/ip_unprivileged_port_start", "0" },
		{ "net/ipv4/ping_group_range", "0 2147483647" },
		{ "vm/max_map_count", "1048576" },
		{ "fs/inotify/max_user_instances", "8192" },
		{ "fs/inotify/max_user_watches", "1048576" },
		{ "kernel/pid_max", "4194304" },
	};
	for (size_t i = 0; i < sizeof knobs / sizeof *knobs; i++) {
		char path[128];
		format_path(path, sizeof path, "/proc/sys/%s", knobs[i][0]);
		if (!write_knob(path, knobs[i][1]))
			say("Cannot set %s: %s", path, strerror(errno));
	}
	/* For init systems that do not set limits. */
	limits_set();
}

void identity_set_kernel(void)
{
	set_limits();
	add_entropy();
	set_clock();
	set_hostname();
}

static void write_hostname(void)
{
	char name[65];
	if (!boot_record_text(TAG_BOOT_HOSTNAME, name, sizeof name))
		return;
	add(name);
	add("\n");
	put("/etc/hostname", 0644);
}

static void add_host(const uint8_t *line, size_t length)
{
	add_bytes(line, length);
	add("\n");
}

/* Lines of the user stay; ours are between two marks. */
static void write_hosts(void)
{
	char name[65], address[64];
	if (read_file("/etc/hosts", old, MAX_FILE_BYTES / 2) < 0)
		old[0] = 0;
	char *begin = strstr(old, HOSTS_BEGIN);
	char *end = begin ? strstr(begin, HOSTS_END) : NULL;
	if (begin)
		memmove(begin, end ? end + strlen(HOSTS_END) : begin + strlen(begin),
			strlen(end ? end + strlen(HOSTS_END) : "") + 1);
	if (!strstr(old, "localhost"))
		add("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
	add(old);
	if (text.length > 0 && text.bytes[text.length - 1] != '\n')
		add("\n");
	add(HOSTS_BEGIN);
	if (boot_record_text(TAG_BOOT_HOSTNAME, name, sizeof name)) {
		if (!boot_record_text(TAG_BOOT_ADDRESS, address, sizeof address))
			strcpy(address, "127.0.1.1");
		address[strcspn(address, "/")] = 0;
		add(address);
		add(" ");
		add(name);
		add("\n");
	}
	boot_record_each(TAG_BOOT_HOST_ENTRY, add_host);
	add(HOSTS_END);
	put("/etc/hosts", 0644);
}

static void add_nameserver(const uint8_t *address, size_t length)
{
	add("nameserver ");
	add_host(address, length);
}

/* A symlink to a resolver's file is replaced: no resolver writes it here. */
static void write_resolver(void)
{
	char domain[256];
	if (!boot_record_has(TAG_BOOT_DNS))
		return;
	if (boot_record_text(TAG_BOOT_SEARCH_DOMAIN, domain, sizeof domain)) {
		add("search ");
		add(domain);
		add("\n");
	}
	boot_record_each(TAG_BOOT_DNS, add_nameserver);
	put("/etc/resolv.conf", 0644);
}

/* The others are copies that systemd and dbus have in some images. True if the machine had another one. */
static bool write_machine_id(void)
{
	static const char *const paths[] = { "/etc/machine-id", "/run/machine-id", "/var/lib/dbus/machine-id" };
	char id[64];
	bool is_new = false;
	if (!boot_record_text(TAG_BOOT_MACHINE_ID, id, sizeof id))
		return false;
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		struct stat info;
		if (i > 0 && (lstat(paths[i], &info) < 0 || !S_ISREG(info.st_mode)))
			continue;
		add(id);
		add("\n");
		is_new |= put(paths[i], 0444);
	}
	return is_new;
}

static bool has_line(const char *all, const uint8_t *line, size_t length)
{
	for (const char *at = all; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		if (strcspn(at, "\n") == length && memcmp(at, line, length) == 0)
			return true;
	}
	return false;
}

static void add_missing_key(const uint8_t *line, size_t length)
{
	text.bytes[text.length < sizeof text.bytes ? text.length : sizeof text.bytes - 1] = 0;
	if (!has_line(text.bytes, line, length))
		add_host(line, length);
}

static void write_authorized_keys(void)
{
	char directory[300], path[320];
	struct account root;
	if (!boot_record_has(TAG_BOOT_AUTHORIZED_KEY) || !account_find("0", &root))
		return;
	format_path(directory, sizeof directory, "%s/.ssh", root.home);
	format_path(path, sizeof path, "%s/authorized_keys", directory);
	if (!make_dirs(directory, 0700))
		say("Cannot create \"%s\": %s", directory, strerror(errno));
	ssize_t length = read_file(path, text.bytes, sizeof text.bytes);
	text.length = length > 0 ? (size_t)length : 0;
	if (text.length > 0 && text.bytes[text.length - 1] != '\n')
		add("\n");
	boot_record_each(TAG_BOOT_AUTHORIZED_KEY, add_missing_key);
	put(path, 0600);
}

static bool is_host_key_new;

static void write_host_key(void)
{
	struct field key;
	if (!boot_record_field(TAG_BOOT_SSH_HOST_KEY, &key))
		return;
	make_dirs("/etc/ssh", 0755);
	add_bytes(key.value, key.length);
	if (!put("/etc/ssh/ssh_host_ed25519_key", 0600))
		return;
	/* The public half of another key would mislead users. */
	if (access("/etc/ssh/ssh_host_ed25519_key.pub", F_OK) == 0)
		unlink("/etc/ssh/ssh_host_ed25519_key.pub");
	is_host_key_new = true;
}

bool identity_write_files(void)
{
	make_dirs("/etc", 0755);
	write_hostname();
	write_hosts();
	write_resolver();
	write_authorized_keys();
	write_host_key();
	return write_machine_id();
}

/*
 * The kernel makes up the boot ID when it is first read. The host takes back the one of a template, which it has noted
 * if it was read; where it could not, and in the copy of a machine, another ID is put over it.
 */
static void change_boot_id(void)
{
	char id[64], noted[64];
	bool was_read = read_file(OWN_BOOT_ID_PATH, noted, sizeof noted) > 0;
	if (is_template && (!was_read || read_file(BOOT_ID_PATH, id, sizeof id) <= 0 || strcmp(id, noted) != 0))
		return;
	umount2(BOOT_ID_PATH, MNT_DETACH);
	if (read_file("/proc/sys/kernel/random/uuid", id, sizeof id) < 0 || !replace_file(OWN_BOOT_ID_PATH, id, strlen(id), 0444) ||
	    mount(OWN_BOOT_ID_PATH, BOOT_ID_PATH, NULL, MS_BIND, NULL) < 0)
		say("Cannot change the boot ID: %s", strerror(errno));
}

static void replace_random_seed(void)
{
	static const char path[] = "/var/lib/systemd/random-seed";
	if (access(path, F_OK) < 0)
		return;
	text.length = getrandom(text.bytes, 512, 0) == 512 ? 512 : 0;
	put(path, 0600);
}

/* Those that services have. The boot ID of a template was noted when it was made, and is not read here. */
static bool read_old_ids(struct journal_ids *ids)
{
	return procfs_init_is_systemd() && journal_ids(ids, is_template ? OWN_BOOT_ID_PATH : BOOT_ID_PATH);
}

const char *identity_take(const uint8_t *bytes, size_t length, bool *is_unsettled)
{
	struct network_identity network;
	struct journal_ids old_ids;
	if (!boot_record_has(TAG_BOOT_MODE))
		return "This agent does not run a machine";
	network_identify(&network);
	is_template = boot_record_has(TAG_BOOT_TEMPLATE);
	bool has_ids = read_old_ids(&old_ids);
	if (!boot_record_set(bytes, length))
		return "The boot record is malformed";
	/* Nothing may be drawn from the numbers that other machines have in common with this one. */
	add_entropy();
	set_clock_now();
	set_hostname();
	is_host_key_new = false;
	if (identity_write_files()) {
		change_boot_id();
		replace_random_seed();
		if (has_ids)
			settle_later(UNSETTLED_MACHINE_ID, (const char *)&old_ids);
	}
	if (is_host_key_new)
		settle_later(UNSETTLED_SSH, "");
	exec_clear_default_env();
	boot_record_each(TAG_BOOT_ENV, exec_add_default_env);
	network_take_over(&network);
	if (boot_record_has(TAG_BOOT_DISK_BYTES))
		rootfs_grow_own(boot_record_number(TAG_BOOT_DISK_BYTES, 0));
	if (!boot_record_keep(KEPT_RECORD_PATH, is_template))
		say("Cannot write %s: %s", KEPT_RECORD_PATH, strerror(errno));
	*is_unsettled = settle_is_due();
	return NULL;
}
