/* hog HOLD_MIB FILE_MIB FILE [GROW_MIB]: touches HOLD_MIB of memory, writes FILE_MIB to FILE, prints "held", waits for the end
   of its input, touches GROW_MIB more. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1L << 20)

static void touch(long count) {
  char *memory = mmap(NULL, (size_t)(count * MIB), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) _exit(9);
  for (long i = 0; i < count * MIB; i += 4096) memory[i] = 1;
}

int main(int argc, char **argv) {
  static char block[MIB];
  char letter;
  if (argc < 4) return 2;
  touch(atol(argv[1]));
  long left = atol(argv[2]);
  int file = left ? open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
  for (; left > 0; left--)
    if (write(file, block, MIB) != MIB) return 3;
  puts("held");
  fflush(stdout);
  while (read(0, &letter, 1) > 0) {}
  if (argc > 4) touch(atol(argv[4]));
  return 0;
}
