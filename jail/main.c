/*
 * banger-jail: starts a program that sees nothing of the host but what it is told to, and has no rights.
 *
 *     banger-jail [OPTION...] -- PROGRAM [ARGUMENT...]     becomes the program
 *     banger-jail --probe                                  prints "namespaces", "landlock" or "none"
 *
 * A path that is not there is an error, and then nothing is started.
 */
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILED 125

void die(const char *what, const char *path)
{
	fprintf(stderr, "banger-jail: %s%s%s: %s\n", what, path ? " " : "", path ? path : "", strerror(errno));
	exit(FAILED);
}

static void usage(void)
{
	fputs("Usage: banger-jail [OPTION...] -- PROGRAM [ARGUMENT...]\n", stderr);
	exit(FAILED);
}

static unsigned int number(const char *text)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value > 0x7fffffff)
		usage();
	return (unsigned int)value;
}

static void add(struct plan *plan, enum kind kind, const char *path)
{
	if (path[0] != '/' || plan->count == ITEMS_MAX)
		usage();
	plan->items[plan->count++] = (struct item){ .kind = kind, .path = path, .tree = -1 };
}

/* True if the option was one without a value. */
static bool read_switch(struct plan *plan, const char *name)
{
	const struct {
		const char *name;
		bool *value;
	} switches[] = {
		{ "--keep-files", &plan->keeps_files }, { "--no-network", &plan->no_network },
		{ "--proc", &plan->proc },              { "--tied", &plan->tied },
		{ "--landlock", &plan->landlock },
	};
	for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
		if (strcmp(name, switches[i].name) == 0)
			return *switches[i].value = true;
	}
	return false;
}

static void read_option(struct plan *plan, const char *name, const char *value)
{
	if (strcmp(name, "--system") == 0)
		add(plan, SYSTEM, value);
	else if (strcmp(name, "--ro") == 0)
		add(plan, READ_ONLY, value);
	else if (strcmp(name, "--rw") == 0)
		add(plan, WRITABLE, value);
	else if (strcmp(name, "--dev") == 0)
		add(plan, DEVICE, value);
	else if (strcmp(name, "--base") == 0)
		plan->base = value;
	else if (strcmp(name, "--scratch") == 0)
		plan->scratch = value;
	else if (strcmp(name, "--uid") == 0)
		plan->uid = number(value);
	else if (strcmp(name, "--gid") == 0)
		plan->gid = number(value);
	else if (strcmp(name, "--self") == 0)
		// The descriptor that this program was started from.
		fcntl((int)number(value), F_SETFD, FD_CLOEXEC);
	else
		usage();
}

static char **read_plan(struct plan *plan, char **argument)
{
	for (argument++; *argument != NULL; argument++) {
		if (strcmp(*argument, "--") == 0 && argument[1] != NULL)
			return argument + 1;
		if (read_switch(plan, *argument))
			continue;
		if (argument[1] == NULL)
			usage();
		read_option(plan, argument[0], argument[1]);
		argument++;
	}
	usage();
	return NULL;
}

static int probe(void)
{
	pid_t child = fork();
	if (child < 0)
		die("cannot start a process", NULL);
	if (child == 0) {
		struct plan plan = { .base = "/tmp", .count = 1, .items = { { .kind = SYSTEM, .path = "/usr" } } };
		fclose(stderr);
		enter_namespaces(&plan);
		build_root(&plan);
		_exit(0);
	}
	int status;
	if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		puts("namespaces");
	else
		puts(landlock_version() > 0 ? "landlock" : "none");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--probe") == 0)
		return probe();
	struct plan plan = { 0 };
	pid_t parent = getppid();
	char **command = read_plan(&plan, argv);
	if (!plan.landlock) {
		if (plan.base == NULL)
			usage();
		enter_namespaces(&plan);
		build_root(&plan);
	}
	drop_rights(&plan);
	if (plan.landlock)
		restrict_paths(&plan);
	// Not before: a change of rights forgets it.
	if (plan.tied && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
		die("the parent has ended", NULL);
	execv(command[0], command);
	die("cannot start", command[0]);
}
