/* The driver's program in a container: its first process, and the command that the driver calls by exec.
 *
 *   agent start FILE         be the first process; FILE's second line has the words of `first`
 *   agent first CONTROL CONTAINER ORPHAN_AFTER_SECONDS UMASK CGROUP SHELLS
 *   agent run ROOT STAGE SEGMENT BASE RECEIVED SIZE LAST [NAME=VALUE]...
 *                            start a script, or find it started, and follow its output; after the job's `last` one the pod may
 *                            end at its first TERM; the script has the variables in its environment
 *   agent signal ROOT STAGE TERM|KILL    signal the script's process group
 *   agent wait_facts CONTROL SECONDS     print the facts of both containers
 *
 * Standard output of `run` carries the script's bytes and nothing else; standard error carries lines for the driver, standard
 * input lines from it. pod_agent.py has their tables. The first process starts the scripts, so they have what the container
 * has: its environment, limits, folder. It reads their output into files of the control volume, so no connection matters to
 * it, and a script cannot end it: the kernel protects the first process of a container from the container's own signals.
 * The image's environment does not reach this program: it is static and reads no variable but PATH, LD_LIBRARY_PATH and HOME.
 * Linux, C11; scripts/agent compiles it, with the digest of this file, by which a test finds a program that is not up to date.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	SEGMENT_BYTES = 16 << 20,
	AHEAD_BYTES = 256 << 20, /* a script whose output is this far ahead of the driver waits */
	CHUNK_BYTES = 64 << 10,
	MOST_SCRIPTS = 16,
	LONGEST_STAGE = 200,
	TICK_MS = 2000,
};
#ifndef SOURCE_DIGEST
#define SOURCE_DIGEST "unknown"
#endif
static const char source_digest[] __attribute__((used)) = "source " SOURCE_DIGEST;
static char chunk[CHUNK_BYTES];

/* ---- small things ---- */

static long long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void nap_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

static bool write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t done = write(fd, bytes, size);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		bytes += done;
		size -= done;
	}
	return true;
}

/* One line for the driver, in one write: lines of two processes do not mix. */
static void say(const char *format, ...)
{
	char line[1024];
	va_list words;
	va_start(words, format);
	int size = vsnprintf(line, sizeof line - 1, format, words);
	va_end(words);
	if (size > (int)sizeof line - 2)
		size = sizeof line - 2;
	line[size++] = '\n';
	write_all(2, line, size);
}

static char *joined(char *buffer, size_t size, const char *format, ...)
{
	va_list words;
	va_start(words, format);
	int length = vsnprintf(buffer, size, format, words);
	va_end(words);
	if (length < 0 || (size_t)length >= size) {
		say("fault a path is too long: %.200s", buffer);
		exit(70);
	}
	return buffer;
}
#define PATH_OF(name, ...) char name[PATH_MAX]; joined(name, sizeof name, __VA_ARGS__)

/* Reads a small file whole; returns its length, or -1. */
static ssize_t read_file(int folder, const char *name, char *buffer, size_t size)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	size_t length = 0;
	ssize_t done;
	while (length < size - 1 && (done = read(fd, buffer + length, size - 1 - length)) > 0)
		length += done;
	close(fd);
	buffer[length] = 0;
	return length;
}

static long long read_number(int folder, const char *name, long long otherwise)
{
	char text[64];
	return read_file(folder, name, text, sizeof text) > 0 ? atoll(text) : otherwise;
}

/* Writes a small file whole, by rename. */
static bool write_file(int folder, const char *name, const char *bytes, size_t size)
{
	PATH_OF(part, "%s.part", name);
	int fd = openat(folder, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return false;
	bool whole = write_all(fd, bytes, size);
	close(fd);
	return whole && renameat(folder, part, folder, name) == 0;
}

static void write_number(int folder, const char *name, long long number)
{
	char text[32];
	write_file(folder, name, text, snprintf(text, sizeof text, "%lld\n", number));
}

static bool is_there(int folder, const char *name)
{
	return faccessat(folder, name, F_OK, 0) == 0;
}

static bool is_program(const char *path)
{
	struct stat found;
	return stat(path, &found) == 0 && S_ISREG(found.st_mode) && access(path, X_OK) == 0;
}

/* Finds a program in the folders of PATH. */
static bool find_program(const char *name, char *path, size_t size)
{
	const char *folders = getenv("PATH");
	if (!folders || !*folders)
		folders = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	while (true) {
		size_t length = strcspn(folders, ":");
		if (snprintf(path, size, "%.*s/%s", (int)length, folders, name) < (int)size && is_program(path))
			return true;
		if (!folders[length])
			return false;
		folders += length + 1;
	}
}

/* ---- the kernel's counters of this container, as `NAME VALUE` lines; cgroup v2 if it is there, else v1 ---- */

static char cgroup[PATH_MAX];

/* Copies `KEY VALUE` lines of a file of the control group; with a key only that one, under another name. */
static void copy_keys(FILE *out, const char *file, const char *key, const char *name)
{
	PATH_OF(path, "%s/%s", cgroup, file);
	FILE *in = fopen(path, "re");
	char found[64];
	long long value;
	while (in && fscanf(in, "%63s %lld", found, &value) == 2)
		if (!key)
			fprintf(out, "%s%s %lld\n", name, found, value);
		else if (strcmp(found, key) == 0)
			fprintf(out, "%s %lld\n", name, value);
	if (in)
		fclose(in);
}

static void copy_value(FILE *out, const char *file, const char *name)
{
	PATH_OF(path, "%s/%s", cgroup, file);
	char text[128];
	if (read_file(AT_FDCWD, path, text, sizeof text) > 0)
		fprintf(out, "%s %.*s\n", name, (int)strcspn(text, "\n"), text);
}

static void write_counters(int folder, const char *name)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return;
	PATH_OF(events, "%s/memory.events", cgroup);
	if (access(events, R_OK) == 0) {
		copy_keys(out, "memory.events", NULL, "events.");
		copy_value(out, "memory.current", "memory.current");
		copy_value(out, "memory.peak", "memory.peak");
		copy_value(out, "memory.max", "memory.max");
		copy_value(out, "cpu.max", "cpu.max");
		copy_keys(out, "cpu.stat", "usage_usec", "cpu.usage_usec");
		copy_keys(out, "memory.stat", "inactive_file", "memory.inactive_file");
	} else {
		copy_keys(out, "memory/memory.oom_control", "oom_kill", "events.oom_kill");
		copy_value(out, "memory/memory.usage_in_bytes", "memory.current");
		copy_value(out, "memory/memory.max_usage_in_bytes", "memory.peak");
		copy_value(out, "memory/memory.limit_in_bytes", "memory.max");
		copy_value(out, "cpuacct/cpuacct.usage", "cpu.usage_nsec");
		copy_keys(out, "memory/memory.stat", "total_inactive_file", "memory.inactive_file");
	}
	fclose(out);
	write_file(folder, name, text, size);
	free(text);
}

/* The working set is what Kubernetes evicts by: usage without the inactive page cache. */
static void sample_working_set(int root)
{
	static long long peak;
	bool is_v2;
	{
		PATH_OF(path, "%s/memory.current", cgroup);
		is_v2 = access(path, R_OK) == 0;
	}
	PATH_OF(usage_file, "%s/%s", cgroup, is_v2 ? "memory.current" : "memory/memory.usage_in_bytes");
	PATH_OF(stat_file, "%s/%s", cgroup, is_v2 ? "memory.stat" : "memory/memory.stat");
	long long usage = read_number(AT_FDCWD, usage_file, 0), value;
	FILE *in = fopen(stat_file, "re");
	char key[64];
	while (in && fscanf(in, "%63s %lld", key, &value) == 2)
		if (strcmp(key, is_v2 ? "inactive_file" : "total_inactive_file") == 0)
			usage -= value;
	if (in)
		fclose(in);
	if (usage > peak) {
		peak = usage;
		write_number(root, "peak", peak);
	}
}

/* ---- the first process ---- */

struct script {
	bool used;
	char stage[LONGEST_STAGE + 1];
	bool is_last;
	int folder, output, log; /* descriptors */
	pid_t leader;            /* 0 once it has ended */
	long long segment, segment_bytes, total;
	bool is_broken; /* its log takes no more */
	bool is_ahead;  /* the driver must read before the script may go on */
};
static struct script scripts[MOST_SCRIPTS];
static char control[PATH_MAX], root_path[PATH_MAX], shell[PATH_MAX];
static bool is_helper;
static int root = -1;
static mode_t umask_of_scripts;

static void break_log(struct script *one)
{
	one->is_broken = true;
	renameat(one->folder, "unbroken", one->folder, "broken"); /* a rename needs no room on the disk */
}

static void open_log(struct script *one)
{
	char name[32];
	snprintf(name, sizeof name, "log.%lld", one->segment);
	one->log = openat(one->folder, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	one->segment_bytes = 0;
	if (one->log < 0)
		break_log(one);
}

static void append(struct script *one, const char *bytes, size_t size)
{
	if (one->is_broken)
		return;
	if (!write_all(one->log, bytes, size)) {
		break_log(one);
		return;
	}
	one->total += size;
	one->segment_bytes += size;
	if (one->segment_bytes < SEGMENT_BYTES)
		return;
	char name[32], text[32];
	snprintf(name, sizeof name, "end.%lld", one->segment);
	close(one->log);
	one->segment++;
	open_log(one); /* before `end`: a follower goes on there */
	write_file(one->folder, name, text, snprintf(text, sizeof text, "%lld\n", one->total));
}

/* Reads what the script has written, at most `most` bytes. After its end, what its leftovers write is dropped. */
static void take_output(struct script *one, long long most)
{
	while (most > 0) {
		ssize_t size = read(one->output, chunk, most < CHUNK_BYTES ? most : CHUNK_BYTES);
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return;
		if (size == 0) {
			close(one->output);
			one->output = -1;
			return;
		}
		if (one->leader)
			append(one, chunk, size);
		most -= size;
	}
}

static bool is_too_far_ahead(struct script *one)
{
	one->is_ahead = one->leader && !one->is_broken && one->total - read_number(one->folder, "acked", 0) > AHEAD_BYTES;
	return one->is_ahead;
}

static void finish(struct script *one, int status)
{
	int waiting = 0;
	if (one->output >= 0 && ioctl(one->output, FIONREAD, &waiting) == 0)
		take_output(one, waiting); /* of a process that writes on for ever, no more than this */
	one->leader = 0;
	write_counters(one->folder, "counters.after");
	char text[64];
	append(one, text, snprintf(text, sizeof text, "\036")); /* the marker: RS, stage, RS */
	append(one, one->stage, strlen(one->stage));
	append(one, "\036", 1);
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	int size = snprintf(text, sizeof text, "%d %d\n", number ? 128 + number : WEXITSTATUS(status), number);
	int fd = openat(one->folder, "exit.part", O_WRONLY | O_CLOEXEC); /* it has its room on the disk already */
	if (fd >= 0) {
		write_all(fd, text, size);
		close(fd);
		renameat(one->folder, "exit.part", one->folder, "exit");
	}
	fd = openat(one->folder, "script", O_WRONLY | O_TRUNC | O_CLOEXEC); /* it may hold secrets */
	if (fd >= 0)
		close(fd);
	if (one->is_last) {
		PATH_OF(path, "%s/finished", control);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd >= 0)
			close(fd);
	}
}

static void forget(struct script *one)
{
	if (one->output >= 0)
		close(one->output);
	if (one->log >= 0)
		close(one->log);
	close(one->folder);
	one->used = false;
}

/* Makes a home that is not there; returns whether it can be written to. */
static bool make_home(const char *home)
{
	char path[PATH_MAX];
	if (!home || home[0] != '/' || strlen(home) >= sizeof path)
		return false;
	strcpy(path, home);
	for (char *end = strchr(path + 1, '/'); end; end = strchr(end + 1, '/')) {
		*end = 0;
		mkdir(path, 0755);
		*end = '/';
	}
	mkdir(path, 0755);
	return access(path, W_OK) == 0;
}

static void set_variables(int folder)
{
	static char text[1 << 20];
	ssize_t size = read_file(folder, "variables", text, sizeof text);
	for (char *one = text; size > 0 && one < text + size; one += strlen(one) + 1)
		putenv(one);
	if (is_helper) {
		const char *path = getenv("PATH");
		static char longer[PATH_MAX * 4];
		snprintf(longer, sizeof longer, "PATH=%s/bin%s%s", root_path, path ? ":" : "", path ? path : "");
		putenv(longer);
	}
	/* A user without an entry in /etc/passwd has `/` for a home, which only root can write to. */
	if (!make_home(getenv("HOME"))) {
		static char home[PATH_MAX + 16];
		snprintf(home, sizeof home, "HOME=%s/home", root_path);
		mkdir(home + strlen("HOME="), 0755);
		putenv(home);
	}
}

static void reset_signals(void)
{
	sigset_t none;
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Becomes the script, in a session of its own. */
static _Noreturn void become_script(struct script *one, int output)
{
	setsid();
	reset_signals();
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (nothing >= 0)
		dup2(nothing, 0);
	else
		close(0);
	dup2(output, 1);
	dup2(output, 2);
	set_variables(one->folder);
	umask(umask_of_scripts);
	PATH_OF(path, "%s/stages/%s/script", root_path, one->stage);
	execl(shell, shell, path, (char *)NULL);
	dprintf(2, "%s cannot be run: %s\n", shell, strerror(errno));
	_exit(126);
}

/* Starts the script whose files a `run` has written. */
static void start_script(const char *stage, bool is_last)
{
	struct script *one = scripts;
	while (one < scripts + MOST_SCRIPTS && one->used)
		one++;
	if (one == scripts + MOST_SCRIPTS || strlen(stage) > LONGEST_STAGE)
		return;
	int pipes[2];
	PATH_OF(path, "stages/%s", stage);
	*one = (struct script){.is_last = is_last, .log = -1};
	strcpy(one->stage, stage);
	one->folder = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (one->folder < 0)
		return;
	/* Files that must be there on a full disk, too, are made now. */
	write_file(one->folder, "unbroken", "", 0);
	int fd = openat(one->folder, "exit.part", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0) {
		write_all(fd, "             \n", 14);
		close(fd);
	}
	open_log(one);
	write_counters(one->folder, "counters.before");
	if (pipe2(pipes, O_CLOEXEC) != 0) {
		close(one->folder);
		return;
	}
	one->output = pipes[0];
	fcntl(one->output, F_SETFL, O_NONBLOCK); /* the reading end alone: O_NONBLOCK belongs to each end */
	one->leader = fork();
	if (one->leader == 0)
		become_script(one, pipes[1]);
	close(pipes[1]);
	one->used = true;
	if (one->leader < 0) {
		char text[200];
		append(one, text, snprintf(text, sizeof text, "no process can be made for the script: %s\n", strerror(errno)));
		one->leader = 1; /* it has "ended" */
		finish(one, 126 << 8);
		return;
	}
	write_number(one->folder, "group", one->leader);
}

/* Reads requests: lines `STAGE LAST`, each written in one piece. */
static void take_requests(int requests)
{
	static char lines[4096];
	static size_t length;
	ssize_t size = read(requests, lines + length, sizeof lines - 1 - length);
	if (size <= 0)
		return;
	length += size;
	lines[length] = 0;
	char *line = lines, *end;
	for (; (end = strchr(line, '\n')); line = end + 1) {
		*end = 0;
		char *last = strchr(line, ' ');
		if (last) {
			*last = 0;
			start_script(line, strcmp(last + 1, "last") == 0);
		}
	}
	length -= line - lines;
	memmove(lines, line, length);
	if (length == sizeof lines - 1)
		length = 0;
}

static void reap(void)
{
	int status;
	pid_t ended;
	while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct script *one = scripts; one < scripts + MOST_SCRIPTS; one++)
			if (one->used && one->leader == ended)
				finish(one, status);
}

/* Whether a shell runs, and reads `$'...'`, which the Runner's scripts use; the reason why it does not run. Its exit codes are none
 * that a program gives by itself: one that does nothing, and succeeds, is no shell. */
static bool try_shell(const char *path, char **variables, bool *reads_quotes, char *reason, size_t size)
{
	char *const argv[] = {(char *)path, "-c", "eval \"quoted=\\$'a'\"; [ \"$quoted\" = a ] && exit 43; exit 44", NULL};
	int pipes[2], status = 0, error = 0;
	bool hangs = false;
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return false;
	pid_t child = fork();
	if (child == 0) {
		setsid();
		reset_signals();
		int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
		for (int fd = 0; fd < 3; fd++)
			dup2(nothing, fd);
		execve(path, argv, variables);
		error = errno;
		write_all(pipes[1], (char *)&error, sizeof error);
		_exit(127);
	}
	close(pipes[1]);
	if (child > 0) {
		if (read(pipes[0], &error, sizeof error) != sizeof error)
			error = 0;
		pid_t ended = 0;
		for (long long until_ms = now_ms() + 10000; (ended = waitpid(child, &status, WNOHANG)) == 0 && now_ms() < until_ms;)
			nap_ms(1);
		hangs = ended == 0;
		if (hangs) {
			kill(-child, SIGKILL);
			waitpid(child, &status, 0);
		}
	}
	close(pipes[0]);
	if (child < 0 || error)
		snprintf(reason, size, "%s", strerror(error ? error : errno));
	else if (hangs)
		snprintf(reason, size, "it does not end within ten seconds");
	else if (WIFSIGNALED(status))
		snprintf(reason, size, "it is killed by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 43 && WEXITSTATUS(status) != 44)
		snprintf(reason, size, "it does not run commands, and ends with %d", WEXITSTATUS(status));
	else {
		*reads_quotes = WEXITSTATUS(status) == 43;
		return true;
	}
	return false;
}

/* Whether the image's environment may keep a shell from running commands: the loader's variables, options, a file to read first. */
static bool may_be_kept(void)
{
	for (char **one = environ; *one; one++)
		if (strncmp(*one, "LD_", 3) == 0 || strncmp(*one, "SHELLOPTS=", 10) == 0 || strncmp(*one, "BASH_ENV=", 9) == 0)
			return true;
	return false;
}

static void find_shell(FILE *out, char *candidates)
{
	static char libraries[PATH_MAX];
	char *clean[] = {"PATH=/usr/local/bin:/usr/bin:/bin", NULL, NULL};
	if (getenv("LD_LIBRARY_PATH")) {
		snprintf(libraries, sizeof libraries, "LD_LIBRARY_PATH=%s", getenv("LD_LIBRARY_PATH"));
		clean[1] = libraries;
	}
	for (char *path = strtok(candidates, ":"); path; path = strtok(NULL, ":")) {
		bool reads_quotes = false;
		char reason[200] = "";
		if (access(path, F_OK) != 0)
			continue;
		if (!is_program(path)) {
			fprintf(out, "broken %s: it is not an executable file\n", path);
			continue;
		}
		bool runs = try_shell(path, clean, &reads_quotes, reason, sizeof reason), ignored;
		/* A script that such a shell does not run would count as one that has succeeded. */
		if (runs && may_be_kept() && !try_shell(path, environ, &ignored, reason, sizeof reason)) {
			fprintf(out, "broken %s: with the image's environment %s\n", path, reason);
			continue;
		}
		if (runs) {
			strcpy(shell, path);
			fprintf(out, "shell %s\nquoting %s\n", path, reads_quotes ? "yes" : "no");
			return;
		}
		fprintf(out, "broken %s: %s\n", path, reason);
	}
}

static void tell_runner_version(FILE *out)
{
	char text[4096], *found = NULL;
	if (read_file(AT_FDCWD, "/usr/share/gitlab-runner/version", text, sizeof text) > 0) {
		fprintf(out, "runner_version %.*s\n", (int)strcspn(text, "\n"), text); /* the program takes a tenth of a second */
		return;
	}
	PATH_OF(program, "%s/bin/gitlab-runner", root_path);
	if (!is_program(program) && !find_program("gitlab-runner", program, sizeof program))
		return;
	int pipes[2];
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return;
	pid_t child = fork();
	if (child == 0) {
		reset_signals();
		int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(nothing, 0);
		dup2(pipes[1], 1);
		dup2(nothing, 2);
		execl(program, "gitlab-runner", "--version", (char *)NULL);
		_exit(127);
	}
	close(pipes[1]);
	size_t length = 0;
	ssize_t size;
	while (length < sizeof text - 1 && (size = read(pipes[0], text + length, sizeof text - 1 - length)) > 0)
		length += size;
	close(pipes[0]);
	text[length] = 0;
	found = strstr(text, "Version:");
	if (found) {
		found += strlen("Version:");
		found += strspn(found, " \t");
		fprintf(out, "runner_version %.*s\n", (int)strcspn(found, " \r\n"), found);
	}
}

/* What this container's image offers, into the control volume and the container's log. */
static void tell_facts(char *candidates)
{
	static const char *const tools[] = {"git", "gitlab-runner", "gitlab-runner-helper"};
	char *text = NULL, path[PATH_MAX];
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		exit(70);
	find_shell(out, candidates);
	fprintf(out, "process %d\n", getpid());
	for (size_t place = 0; place < sizeof tools / sizeof *tools; place++)
		if (find_program(tools[place], path, sizeof path))
			fprintf(out, "tool %s\n", tools[place]);
	if (is_helper) {
		PATH_OF(link, "%s/bin/gitlab-runner", root_path);
		char existing[PATH_MAX];
		if (find_program("gitlab-runner-helper", path, sizeof path) &&
		    !find_program("gitlab-runner", existing, sizeof existing) && symlink(path, link) == 0)
			fprintf(out, "tool gitlab-runner\n");
		tell_runner_version(out);
	}
	fprintf(out, "end\n");
	fclose(out);
	if (!write_file(root, "facts", text, size))
		exit(70);
	dprintf(1, "\nspack-farm's facts of this image:\n%s", text);
	free(text);
}

/* Ends the pod when no driver has touched it for long: then no `alive` of a container changes any more. */
static void check_for_drivers(int orphan_after_seconds)
{
	static char seen[256], now[256];
	static long long changed_ms;
	char lines[2][96];
	for (int place = 0; place < 2; place++) {
		PATH_OF(path, "%s/%s/alive", control, place ? "helper" : "build");
		if (read_file(AT_FDCWD, path, lines[place], sizeof lines[place]) < 0)
			lines[place][0] = 0;
	}
	snprintf(now, sizeof now, "%s/%s", lines[0], lines[1]);
	if (!changed_ms || strcmp(now, seen) != 0) {
		strcpy(seen, now);
		changed_ms = now_ms();
	}
	if (now_ms() - changed_ms >= orphan_after_seconds * 1000LL)
		exit(75);
}

static int watch_signals(void)
{
	sigset_t all;
	sigfillset(&all);
	for (int fault = 0; fault < 4; fault++)
		sigdelset(&all, (int[]){SIGSEGV, SIGBUS, SIGILL, SIGFPE}[fault]);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigset_t ours;
	sigemptyset(&ours);
	sigaddset(&ours, SIGCHLD);
	sigaddset(&ours, SIGTERM);
	signal(SIGCHLD, SIG_DFL); /* an ignored one would leave no exit codes */
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Makes this container's folder in the control volume; returns the requests' pipe. */
static int make_root(const char *container)
{
	joined(root_path, sizeof root_path, "%s/%s", control, container);
	for (int place = 0; place < 3; place++) {
		PATH_OF(path, "%s%s", root_path, (const char *[]){"", "/bin", "/stages"}[place]);
		if (mkdir(path, 0755) != 0 && errno != EEXIST) {
			dprintf(2, "the control volume cannot be written to: %s: %s\n", path, strerror(errno));
			exit(70);
		}
	}
	root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Held for this process's life: a free lock tells others that it has ended. */
	int lock = openat(root, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (root < 0 || lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
		dprintf(2, "the first process of %s runs already\n", container);
		exit(70);
	}
	if (mkfifoat(root, "requests", 0600) != 0 && errno != EEXIST)
		exit(70);
	return openat(root, "requests", O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static int first(char **words)
{
	int orphan_after_seconds = atoi(words[2]);
	bool is_going = false;
	long long ticked_ms = 0;
	joined(control, sizeof control, "%s", words[0]);
	joined(cgroup, sizeof cgroup, "%s", words[4]);
	is_helper = strcmp(words[1], "helper") == 0;
	umask_of_scripts = umask(022);
	if (strcmp(words[3], "inherit") != 0)
		umask_of_scripts = strtol(words[3], NULL, 8);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* where an entrypoint did not hand over by exec, this is not process 1 */
	int signals = watch_signals(), requests = make_root(words[1]);
	tell_facts(words[5]);
	while (true) {
		struct pollfd polled[2 + MOST_SCRIPTS] = {{.fd = signals, .events = POLLIN}, {.fd = requests, .events = POLLIN}};
		int wait_ms = TICK_MS;
		for (int place = 0; place < MOST_SCRIPTS; place++) {
			struct script *one = scripts + place;
			polled[2 + place] = (struct pollfd){.fd = -1, .events = POLLIN};
			if (!one->used)
				continue;
			if (!one->leader && one->output < 0)
				forget(one);
			else if (is_too_far_ahead(one))
				wait_ms = 200;
			else
				polled[2 + place].fd = one->output;
		}
		poll(polled, 2 + MOST_SCRIPTS, wait_ms);
		struct signalfd_siginfo came;
		while (read(signals, &came, sizeof came) == sizeof came)
			is_going = is_going || came.ssi_signo == SIGTERM;
		if (polled[1].revents)
			take_requests(requests);
		for (int place = 0; place < MOST_SCRIPTS; place++)
			if (scripts[place].used && scripts[place].output >= 0 && polled[2 + place].revents)
				take_output(scripts + place, CHUNK_BYTES);
		reap();
		PATH_OF(finished, "%s/finished", control);
		/* TERM is the pod's notice, not the script's: a script goes on until the grace period ends. */
		if (is_going && access(finished, F_OK) == 0)
			return 0;
		if (now_ms() - ticked_ms < TICK_MS)
			continue;
		ticked_ms = now_ms();
		check_for_drivers(orphan_after_seconds);
		sample_working_set(root);
	}
}

/* Finds the words of `first` in the file that the kernel, or an entrypoint that is a shell, was given as a script. */
static int start(char **words)
{
	static char text[8192];
	char *found[8] = {NULL};
	int count = 0;
	if (read_file(AT_FDCWD, words[0], text, sizeof text) <= 0)
		return 70;
	char *line = strchr(text, '\n');
	line = line ? strstr(line, " first ") : NULL;
	if (!line)
		return 70;
	line[strcspn(line, "\n")] = 0;
	for (char *word = strtok(line + strlen(" first "), " "); word && count < 7; word = strtok(NULL, " "))
		found[count++] = word;
	return count == 6 ? first(found) : 70;
}

/* ---- the commands that the driver calls ---- */

/* Gives a file to the owner of the control folder: an entrypoint may have taken on another user than commands have. */
static void give_away(int folder, const char *name)
{
	struct stat owner;
	if (geteuid() == 0 && fstat(root, &owner) == 0 && owner.st_uid != 0)
		(void)!fchownat(folder, name, owner.st_uid, owner.st_gid, 0);
}

/* Takes the script from standard input; false if it did not come whole. */
static bool take_script(int folder, long long size)
{
	char part[32];
	snprintf(part, sizeof part, "script.%d", getpid());
	int fd = openat(folder, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool is_whole = fd >= 0;
	while (is_whole && size > 0) {
		ssize_t done = read(0, chunk, size < CHUNK_BYTES ? size : CHUNK_BYTES);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0 || !write_all(fd, chunk, done))
			is_whole = false;
		else
			size -= done;
	}
	if (fd >= 0)
		close(fd);
	if (is_whole) {
		give_away(folder, part);
		is_whole = renameat(folder, part, folder, "script") == 0;
	}
	if (!is_whole)
		unlinkat(folder, part, 0);
	return is_whole;
}

static void write_variables(int folder, char **variables)
{
	int fd = openat(folder, "variables", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	for (; fd >= 0 && *variables; variables++)
		write_all(fd, *variables, strlen(*variables) + 1);
	if (fd >= 0)
		close(fd);
	give_away(folder, "variables");
}

/* Asks the first process to start the script. */
static bool request(const char *stage, const char *last)
{
	char line[LONGEST_STAGE + 16];
	int requests = openat(root, "requests", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	int size = snprintf(line, sizeof line, "%s %s\n", stage, last);
	bool is_done = requests >= 0 && size < (int)sizeof line && write(requests, line, size) == size;
	if (requests >= 0)
		close(requests);
	return is_done;
}

static bool first_process_is_gone(void)
{
	int lock = openat(root, "lock", O_RDONLY | O_CLOEXEC);
	if (lock < 0)
		return false;
	bool is_free = flock(lock, LOCK_SH | LOCK_NB) == 0;
	close(lock);
	return is_free;
}

static void tell_result(int folder)
{
	static char text[16384];
	for (int after = 0; after < 2; after++) {
		say("counters %s", after ? "after" : "before");
		ssize_t size = read_file(folder, after ? "counters.after" : "counters.before", text, sizeof text);
		if (size > 0)
			write_all(2, text, size);
	}
	long long peak = read_number(root, "peak", 0);
	if (peak > 0)
		say("memory.working_set_peak %lld", peak);
	int code = 0, number = 0;
	read_file(folder, "exit", text, sizeof text);
	sscanf(text, "%d %d", &code, &number);
	if (number)
		say("signal %d", number);
	say("exit %d", code);
}

/* Reads the driver's lines; false at their end, which ends this call, not the script. */
static bool listen_to_driver(int folder, long long *oldest)
{
	static char lines[8192];
	static size_t length;
	ssize_t size = read(0, lines + length, sizeof lines - 1 - length);
	if (size < 0)
		return errno == EINTR || errno == EAGAIN;
	if (size == 0)
		return false;
	length += size;
	lines[length] = 0;
	char *line = lines, *end;
	for (; (end = strchr(line, '\n')); line = end + 1) {
		long long segment, total;
		*end = 0;
		if (strncmp(line, "alive ", 6) == 0) {
			write_file(root, "alive", line + 6, strlen(line + 6));
			give_away(root, "alive");
		} else if (sscanf(line, "acked %lld %lld", &segment, &total) == 2) {
			write_number(folder, "acked", total);
			for (; *oldest < segment; (*oldest)++) {
				char name[32];
				snprintf(name, sizeof name, "log.%lld", *oldest);
				unlinkat(folder, name, 0);
				snprintf(name, sizeof name, "end.%lld", *oldest);
				unlinkat(folder, name, 0);
			}
		}
	}
	length -= line - lines;
	memmove(lines, line, length);
	if (length == sizeof lines - 1)
		length = 0;
	return true;
}

/* Passes the log on from a position, until the driver closes the connection. */
static int follow(int folder, long long segment, long long base, long long received)
{
	long long oldest = segment, begun_ms = now_ms(), beat_ms = begun_ms, told_ms = 0;
	bool is_told = false, broken_is_told = false;
	int log = -1, events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), quiet_rounds = 0;
	if (events >= 0) {
		PATH_OF(path, "/proc/self/fd/%d", folder);
		if (inotify_add_watch(events, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
			close(events);
			events = -1; /* none are left on this node: look now and then */
		}
	}
	while (true) {
		char name[32];
		/* What ends something is looked at before the bytes that precede it are read. */
		snprintf(name, sizeof name, "end.%lld", segment);
		long long total = read_number(folder, name, -1);
		bool is_over = is_there(folder, "exit"), is_broken = is_there(folder, "broken"), was_quiet = true;
		if (total >= 0 && total <= received) {
			say("segment %lld %lld", segment, total);
			base = total;
			segment++;
			if (log >= 0)
				close(log);
			log = -1;
			continue;
		}
		if (log < 0) {
			snprintf(name, sizeof name, "log.%lld", segment);
			log = openat(folder, name, O_RDONLY | O_CLOEXEC);
			if (log >= 0)
				lseek(log, received - base, SEEK_SET);
		}
		ssize_t size;
		while (log >= 0 && (size = read(log, chunk, CHUNK_BYTES)) > 0) {
			if (!write_all(1, chunk, size))
				return 0;
			received += size;
			was_quiet = false;
		}
		if (total >= 0 && total <= received)
			continue;
		if (is_over && !is_told) {
			is_told = true;
			told_ms = now_ms();
			tell_result(folder);
		}
		if (is_broken && !broken_is_told) {
			broken_is_told = true;
			say("broken");
		}
		if (is_told && now_ms() - told_ms > 100000)
			return 0;
		if (!is_over && first_process_is_gone() && !is_there(folder, "exit")) {
			say("lost the first process of the container was killed; the script's exit code is unknown");
			return 3;
		}
		if (log < 0 && !is_over && !is_broken && now_ms() - begun_ms > 10000) {
			say("lost the script was never started");
			return 3;
		}
		if (now_ms() - beat_ms > 5000) {
			beat_ms = now_ms();
			say("beat");
		}
		quiet_rounds = was_quiet ? quiet_rounds + 1 : 0;
		int wait_ms = events >= 0 && log >= 0 ? 1000 : quiet_rounds < 50 ? 10 : 100;
		struct pollfd polled[2] = {{.fd = 0, .events = POLLIN}, {.fd = events, .events = POLLIN}};
		poll(polled, 2, wait_ms);
		if (polled[1].revents) {
			char changes[4096];
			while (read(events, changes, sizeof changes) > 0)
				;
		}
		if (polled[0].revents && !listen_to_driver(folder, &oldest))
			return 0;
	}
}

static int open_root(const char *path)
{
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root;
}

static int run(char **words)
{
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	if (open_root(words[0]) < 0) {
		say("fault %s: %s", words[0], strerror(errno));
		return 3;
	}
	PATH_OF(path, "stages/%s", words[1]);
	if (mkdirat(root, path, 0755) != 0 && errno != EEXIST) {
		say("fault the control volume cannot be written to: %s", strerror(errno));
		return 3;
	}
	int folder = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return 3;
	if (!is_there(folder, "started")) {
		give_away(root, path);
		say("need");
		if (!take_script(folder, atoll(words[5])))
			return 4;
		write_variables(folder, words + 7);
		write_number(folder, "acked", 0);
		give_away(folder, "acked");
		/* Of several calls only one creates this file, and has the script started. */
		int fd = openat(folder, "started", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd >= 0) {
			close(fd);
			if (!request(words[1], words[6])) {
				say("lost the first process of the container has ended");
				return 3;
			}
		}
	}
	say("following");
	return follow(folder, atoll(words[2]), atoll(words[3]), atoll(words[4]));
}

static int signal_script(char **words)
{
	PATH_OF(path, "%s/stages/%s/group", words[0], words[1]);
	int number = strcmp(words[2], "KILL") == 0 ? SIGKILL : SIGTERM;
	long long group = 0;
	for (int tries = 0; tries < 20 && (group = read_number(AT_FDCWD, path, 0)) <= 1; tries++)
		nap_ms(100); /* the script may only just be starting */
	if (group <= 1) {
		say("the script was not started");
		return 1;
	}
	if (kill(-(pid_t)group, number) == 0 || errno == ESRCH)
		return 0;
	say("%s", strerror(errno));
	return 1;
}

static int wait_facts(char **words)
{
	static char text[16384];
	long long deadline_ms = now_ms() + 1000LL * atoi(words[1]);
	for (int place = 0; place < 2; place++) {
		const char *container = place ? "build" : "helper";
		PATH_OF(path, "%s/%s/facts", words[0], container);
		ssize_t size;
		while ((size = read_file(AT_FDCWD, path, text, sizeof text)) < 0 && now_ms() < deadline_ms)
			nap_ms(50);
		if (size < 0) {
			printf("missing %s\n", container);
			continue;
		}
		printf("container %s\n%s", container, text);
	}
	return 0;
}

static const struct {
	const char *name;
	int words;
	int (*act)(char **words);
} commands[] = {
	{"start", 1, start},
	{"first", 6, first},
	{"run", 7, run},
	{"signal", 3, signal_script},
	{"wait_facts", 2, wait_facts},
};

int main(int count, char **words)
{
	for (size_t place = 0; place < sizeof commands / sizeof *commands; place++)
		if (count >= 2 + commands[place].words && strcmp(words[1], commands[place].name) == 0)
			return commands[place].act(words + 2);
	say("fault unknown command %s", count > 1 ? words[1] : "");
	return 2;
}
