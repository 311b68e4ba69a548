/* The Runner's side of the warm process as a program of its own: what warm.py does, without Python's start.

   Installed as `spack-farm` before the real one (PROGRAM): a driver's verb goes to the warm process, and this program waits
   for its exit code; everything else, and every verb that no warm process takes, becomes PROGRAM. The request, and the bytes
   that follow it, are described in warm.py. Build: cc -O2 -static -DPROGRAM='"/path/to/spack-farm"' call.c -o spack-farm

   It allocates nothing, and until ACCEPTED has come it has changed nothing: giving up means becoming PROGRAM. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef PROGRAM
#error PROGRAM is the path of the spack-farm that this one stands before
#endif

static const char accepted = '+', begin = '!';
static const char *const verbs[] = {"config", "prepare", "run", "cleanup", NULL};
static const char *const kept[] = {"PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", NULL};
static const char *const namespaces[] = {"mnt", "net", "pid", "user", "uts", "ipc", NULL};
static const char lost[] = "ERROR: the driver's process died in the middle of the call (it may have been killed for memory)\n";
enum { ACCEPT_SECONDS = 30 };
extern char **environ;
static int connection = -1;

static uint32_t crc(uint32_t sum, const void *bytes, size_t length) {
  const unsigned char *byte = bytes;
  for (sum = ~sum; length--; byte++) {
    sum ^= *byte;
    for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (sum & 1 ? 0xEDB88320u : 0);
  }
  return ~sum;
}

/* The socket's name: a warm process serves calls from one place, which the child that serves a call checks again. */
static int name_of(char *name, size_t size) {
  char text[4096], path[64];
  ssize_t length;
  uint32_t sum = crc(0, PROGRAM, strlen(PROGRAM));
  int file = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  while ((length = read(file, text, sizeof text)) > 0) sum = crc(sum, text, (size_t)length);
  close(file);
  for (int i = 0; namespaces[i]; i++) {
    snprintf(path, sizeof path, "/proc/self/ns/%s", namespaces[i]);
    if ((length = readlink(path, text, sizeof text)) < 0) return -1;
    sum = crc(sum, text, (size_t)length);
  }
  for (int i = 0; kept[i]; i++) {
    const char *value = getenv(kept[i]);
    if (value) sum = crc(crc(sum, kept[i], strlen(kept[i]) + 1), value, strlen(value) + 1);
  }
  return snprintf(name, size, "%08x-call", (unsigned)sum) < (int)size ? 0 : -1;
}

/* Connect to the warm process, in a folder that nobody else can enter. */
static int connected(const char *name) {
  const char *base = getenv("XDG_RUNTIME_DIR");
  char folder[4096];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct timeval most = {.tv_sec = ACCEPT_SECONDS};
  struct stat found;
  if (!base || !*base) base = "/tmp";
  if (snprintf(folder, sizeof folder, "%s/spack-farm-executor-%u", base, (unsigned)geteuid()) >= (int)sizeof folder) return -1;
  int opened = open(folder, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (opened < 0) return -1;
  if (fstat(opened, &found) || found.st_uid != geteuid() || found.st_mode & 077) {
    close(opened);
    return -1;
  }
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", opened, name); /* a path's own length is bounded */
  int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (made >= 0) {
    setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    if (connect(made, (struct sockaddr *)&address, sizeof address)) {
      close(made);
      made = -1;
    }
  }
  close(opened);
  return made;
}

static int put(const void *bytes, size_t length) {
  for (const char *byte = bytes; length;) {
    ssize_t sent = send(connection, byte, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return -1;
    byte += sent;
    length -= (size_t)sent;
  }
  return 0;
}

static int put_field(const char *text) { return put("", 1) || put(text, strlen(text)); }

/* The length in eight bytes comes with the three standard streams. */
static int put_length(uint64_t length) {
  unsigned char bytes[8];
  union { char space[CMSG_SPACE(3 * sizeof(int))]; struct cmsghdr aligned; } control;
  struct iovec part = {.iov_base = bytes, .iov_len = sizeof bytes};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  const int streams[] = {0, 1, 2};
  for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(length >> (56 - 8 * i));
  memset(&control, 0, sizeof control);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof streams);
  memcpy(CMSG_DATA(header), streams, sizeof streams);
  return sendmsg(connection, &message, MSG_NOSIGNAL) == sizeof bytes ? 0 : -1;
}

/* Send the request: working folder, umask, the Runner's process, the number of arguments, arguments, variables. */
static int sent(int count, char **arguments) {
  char folder[8192], facts[64];
  mode_t mask = umask(077);
  umask(mask);
  if (!getcwd(folder, sizeof folder)) return -1;
  snprintf(facts, sizeof facts, "%u%c%d%c%d", (unsigned)mask, 0, (int)getppid(), 0, count);
  size_t facts_length = strlen(facts) + 1;
  facts_length += strlen(facts + facts_length) + 1;
  facts_length += strlen(facts + facts_length);
  uint64_t length = strlen(folder) + 1 + facts_length;
  for (int i = 0; i < count; i++) length += 1 + strlen(arguments[i]);
  for (char **one = environ; *one; one++) length += 1 + strlen(*one);
  if (put_length(length) || put(folder, strlen(folder)) || put("", 1) || put(facts, facts_length)) return -1;
  for (int i = 0; i < count; i++)
    if (put_field(arguments[i])) return -1;
  for (char **one = environ; *one; one++)
    if (put_field(*one)) return -1;
  return 0;
}

static void pass_on(int number) {
  int error = errno;
  unsigned char byte = (unsigned char)number;
  send(connection, &byte, 1, MSG_NOSIGNAL);
  errno = error;
}

/* Wait for the verb's exit code; the death of the process that runs the verb is a system failure. */
static int code_of_verb(void) {
  const char *failure = getenv("SYSTEM_FAILURE_EXIT_CODE");
  struct timeval never = {0};
  int code = -1;
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never);
  for (;;) {
    char byte;
    ssize_t length = recv(connection, &byte, 1, 0);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) break;
    if (byte >= '0' && byte <= '9') code = (code < 0 ? 0 : code) * 10 + byte - '0';
    else if (code >= 0) return code & 255; /* a line end without digits is a pulse, for clients that are shells */
  }
  if (write(2, lost, sizeof lost - 1) < 0) { /* the Runner is gone, too */ }
  code = failure && *failure && strspn(failure, "0123456789") == strlen(failure) ? atoi(failure) : 2;
  return code & 255;
}

static int is_verb(const char *word) {
  for (int i = 0; verbs[i]; i++)
    if (!strcmp(word, verbs[i])) return 1;
  return 0;
}

static void try_warm_process(int count, char **arguments) {
  const char *off = getenv("SPACK_FARM_EXECUTOR_WARM");
  char name[32], answer = 0;
  if ((off && !strcmp(off, "no")) || name_of(name, sizeof name)) return;
  if ((connection = connected(name)) >= 0) {
    if (!sent(count, arguments) && recv(connection, &answer, 1, 0) == 1 && answer == accepted) {
      struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
      sigaction(SIGTERM, &action, NULL);
      sigaction(SIGINT, &action, NULL);
      if (!put(&begin, 1)) exit(code_of_verb());
      signal(SIGTERM, SIG_DFL);
      signal(SIGINT, SIG_DFL);
    }
    close(connection); /* the verb has not begun: without `begin` the warm process gives the call up */
  }
  setenv("SPACK_FARM_EXECUTOR_SOCKET", name, 1); /* where PROGRAM is to have the next call's warm process listen */
}

int main(int count, char **arguments) {
  if (count > 2 && !strcmp(arguments[1], "executor") && is_verb(arguments[2])) try_warm_process(count - 2, arguments + 2);
  execv(PROGRAM, arguments);
  fprintf(stderr, "spack-farm: %s: %s\n", PROGRAM, strerror(errno));
  return 2;
}
