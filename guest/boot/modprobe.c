#include "boot/modprobe.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "boot/module.h"

#define MAX_NAME 256
#define MAX_LOADED 256
#define MAX_CONFIG_FILES 256
#define MAX_TEXT_BYTES (8 << 20)

/* A line's words, from `at` up to `end`. */
struct words {
	const char *at, *end;
};

/* Lines of modprobe.d, then of modules.softdep, which have the same form; each ends with a newline. */
static struct words config;
static struct words aliases, dependencies;
static char tree[MAX_NAME];
/* Modules that were loaded, or are being loaded. */
static char loaded[MAX_LOADED][64];
static unsigned loaded_count;

static bool next_line(struct words *text, struct words *line)
{
	if (text->at >= text->end)
		return false;
	const char *end = memchr(text->at, '\n', (size_t)(text->end - text->at));
	line->at = text->at;
	line->end = end ? end : text->end;
	text->at = line->end + 1;
	return true;
}

/* Copies the next word; a longer one than the buffer is skipped. */
static bool next_word(struct words *line, char *word, size_t size)
{
	for (;;) {
		while (line->at < line->end && (*line->at == ' ' || *line->at == '\t'))
			line->at++;
		const char *start = line->at;
		while (line->at < line->end && *line->at != ' ' && *line->at != '\t')
			line->at++;
		size_t length = (size_t)(line->at - start);
		if (length == 0)
			return false;
		if (length >= size)
			continue;
		memcpy(word, start, length);
		word[length] = 0;
		return true;
	}
}

/* Names are the same with "-" and "_", except within brackets of a pattern. */
static void make_plain(char *name)
{
	bool in_brackets = false;
	for (; *name; name++) {
		in_brackets = *name == '[' || (in_brackets && *name != ']');
		if (*name == '-' && !in_brackets)
			*name = '_';
	}
}

/* Whether one character is in the brackets that begin at `*pattern`, which is moved past them. */
static bool fits_brackets(const char **pattern, char c)
{
	const char *at = *pattern + 1;
	bool is_negated = *at == '!' || *at == '^', found = false;
	for (at += is_negated; *at && *at != ']'; at++) {
		char last = at[1] == '-' && at[2] && at[2] != ']' ? at[2] : *at;
		found = found || (c >= *at && c <= last);
		at += last == *at ? 0 : 2;
	}
	*pattern = at + (*at == ']');
	return found != is_negated;
}

/* Patterns of shells: "*", "?" and brackets. */
static bool fits(const char *pattern, const char *text)
{
	const char *star = NULL, *from = NULL;
	for (;;) {
		const char *next = pattern;
		if (*pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (!*text && !*pattern) {
			return true;
		} else if (*text && (*pattern == '[' ? fits_brackets(&next, *text) : *pattern == '?' || *pattern == *text)) {
			pattern = *pattern == '[' ? next : pattern + 1;
			text++;
		} else if (star && *from) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
}

static bool next_name(struct words *line, char *name, size_t size)
{
	if (!next_word(line, name, size))
		return false;
	make_plain(name);
	return true;
}

/* Appends a file and a newline; "\" at the end of a line continues it, "#" begins a comment line. */
static void append_file(struct words *text, const char *path)
{
	struct stat info;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t old = (size_t)(text->end - text->at);
	if (fd < 0)
		return;
	if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && old + (size_t)info.st_size < MAX_TEXT_BYTES) {
		char *bytes = realloc((void *)text->at, old + (size_t)info.st_size + 1);
		ssize_t count, length = 0;
		if (!bytes)
			die("Cannot read %s", path);
		while (length < info.st_size && (count = read(fd, bytes + old + length, (size_t)(info.st_size - length))) > 0)
			length += count;
		for (char *at = bytes + old; at + 1 < bytes + old + length; at++) {
			if (at[0] == '\\' && at[1] == '\n')
				at[0] = at[1] = ' ';
		}
		bytes[old + (size_t)length] = '\n';
		text->at = bytes;
		text->end = bytes + old + length + 1;
	}
	close(fd);
}

static const char *file_of(const char *path)
{
	return strrchr(path, '/') + 1;
}

/* Files in order of their names; of the same name, only that of the first directory. */
static void read_config(void)
{
	static const char *const places[] = { "/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib" };
	char *paths[MAX_CONFIG_FILES + 1], path[MAX_NAME * 2];
	size_t count = 0;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snprintf(path, sizeof path, "%s/modprobe.d", places[i]);
		DIR *directory = opendir(path);
		struct dirent *entry;
		while (directory && count < MAX_CONFIG_FILES && (entry = readdir(directory))) {
			size_t length = strlen(entry->d_name), k = 0;
			if (length < 6 || length >= MAX_NAME || strcmp(entry->d_name + length - 5, ".conf") != 0)
				continue;
			snprintf(path, sizeof path, "%s/modprobe.d/%s", places[i], entry->d_name);
			while (k < count && strcmp(file_of(paths[k]), entry->d_name) < 0)
				k++;
			if (k < count && strcmp(file_of(paths[k]), entry->d_name) == 0)
				continue;
			memmove(paths + k + 1, paths + k, (count++ - k) * sizeof *paths);
			if (!(paths[k] = strdup(path)))
				die("Cannot read %s", path);
		}
		if (directory)
			closedir(directory);
	}
	for (size_t i = 0; i < count; i++)
		append_file(&config, paths[i]);
}

static void append_table(struct words *text, const char *name)
{
	char path[MAX_NAME * 2];
	snprintf(path, sizeof path, "%s/%s", tree, name);
	append_file(text, path);
}

/* Finds the next line "VERB NAME ..." from `at` on; `rest` is what follows the name. */
static bool find_setting(struct words *at, const char *verb, const char *name, struct words *rest)
{
	char word[MAX_NAME];
	while (next_line(at, rest)) {
		if (next_word(rest, word, sizeof word) && strcmp(word, verb) == 0 && next_name(rest, word, sizeof word) &&
		    strcmp(word, name) == 0)
			return true;
	}
	return false;
}

static bool has_setting(const char *verb, const char *name)
{
	struct words at = config, rest;
	return find_setting(&at, verb, name, &rest);
}

/* The name of a module from its path. */
static void name_of(const char *path, char *name, size_t size)
{
	const char *slash = strrchr(path, '/');
	snprintf(name, size, "%s", slash ? slash + 1 : path);
	char *end = strstr(name, ".ko");
	if (end)
		*end = 0;
	make_plain(name);
}

/* Finds the line of a module in modules.dep; `path` is its file, `needs` the files of its dependencies. */
static bool find_module(const char *name, char *path, size_t size, struct words *needs)
{
	struct words at = dependencies;
	char own[MAX_NAME];
	while (next_line(&at, needs)) {
		if (!next_word(needs, path, size))
			continue;
		path[strlen(path) - 1] = 0;
		name_of(path, own, sizeof own);
		if (strcmp(own, name) == 0)
			return true;
	}
	return false;
}

static bool load(const char *name);
static bool probe(const char *name);

/* Soft dependencies may be missing. */
static void probe_soft(const char *name, const char *kind)
{
	struct words at = config, rest;
	char word[MAX_NAME];
	while (find_setting(&at, "softdep", name, &rest)) {
		bool wanted = false;
		while (next_name(&rest, word, sizeof word)) {
			if (strcmp(word, "pre:") == 0 || strcmp(word, "post:") == 0)
				wanted = strcmp(word, kind) == 0;
			else if (wanted)
				probe(word);
		}
	}
}

static bool insert(const char *name, const char *path)
{
	struct words at = config, rest;
	char options[4096] = "", full[MAX_NAME * 3];
	while (find_setting(&at, "options", name, &rest)) {
		size_t length = strlen(options);
		snprintf(options + length, sizeof options - length, "%.*s", (int)(rest.end - rest.at), rest.at);
	}
	snprintf(full, sizeof full, "%s/%s", tree, path);
	return module_insert(full, options);
}

static bool run_shell(const struct words *command)
{
	char text[4096];
	int status;
	snprintf(text, sizeof text, "%.*s", (int)(command->end - command->at), command->at);
	pid_t child = fork();
	if (child == 0) {
		execl("/bin/sh", "sh", "-c", text, (char *)NULL);
		_exit(127);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* The last dependency comes first. */
static bool load_needs(struct words *needs)
{
	char path[MAX_NAME], name[MAX_NAME];
	if (!next_word(needs, path, sizeof path))
		return true;
	bool rest = load_needs(needs);
	name_of(path, name, sizeof name);
	return load(name) && rest;
}

static bool load(const char *name)
{
	struct words at = config, command, needs;
	char path[MAX_NAME];
	for (unsigned i = 0; i < loaded_count; i++) {
		if (strcmp(loaded[i], name) == 0)
			return true;
	}
	if (loaded_count == MAX_LOADED || strlen(name) >= sizeof loaded[0] || !find_module(name, path, sizeof path, &needs))
		return false;
	strcpy(loaded[loaded_count++], name);
	if (find_setting(&at, "install", name, &command))
		return run_shell(&command);
	probe_soft(name, "pre:");
	bool done = load_needs(&needs) && insert(name, path);
	probe_soft(name, "post:");
	return done;
}

/* Loads every module with a matching alias; false if there is none. */
static bool load_by_alias(struct words table, const char *name, bool *done)
{
	struct words line;
	char word[MAX_NAME], module[MAX_NAME];
	bool found = false;
	while (next_line(&table, &line)) {
		if (!next_word(&line, word, sizeof word) || strcmp(word, "alias") != 0 || !next_name(&line, word, sizeof word) ||
		    !next_name(&line, module, sizeof module) || !fits(word, name))
			continue;
		found = true;
		if (!has_setting("blacklist", module) && load(module))
			*done = true;
	}
	return found;
}

static bool probe(const char *wanted)
{
	char name[MAX_NAME], path[MAX_NAME];
	struct words needs;
	bool done = false;
	snprintf(name, sizeof name, "%s", wanted);
	make_plain(name);
	if (load_by_alias(config, name, &done))
		return done;
	if (find_module(name, path, sizeof path, &needs))
		return load(name);
	load_by_alias(aliases, name, &done);
	return done;
}

int modprobe_run(const char *name)
{
	if (!modules_tree(tree, sizeof tree))
		return 1;
	read_config();
	append_table(&config, "modules.softdep");
	append_table(&aliases, "modules.alias");
	append_table(&dependencies, "modules.dep");
	return probe(name) ? 0 : 1;
}
