/* process_tree N KIB: N processes in a 4-ary tree; each touches KIB of memory of its own, writes one byte to stdout and waits.
   As after any fork, a child also maps what its ancestors touched. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void live(long self, long count, size_t bytes) {
  char *own = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (own == MAP_FAILED) _exit(1);
  memset(own, 1, bytes);
  for (long child = 4 * self + 1; child <= 4 * self + 4 && child < count; child++) {
    pid_t pid = fork();
    if (pid < 0) _exit(1);
    if (pid == 0) live(child, count, bytes);
  }
  if (write(1, ".", 1) != 1) _exit(1);
  for (;;) pause();
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  live(0, atol(argv[1]), (size_t)atol(argv[2]) * 1024);
}
