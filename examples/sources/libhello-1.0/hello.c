#include "hello.h"

#include <stdio.h>

int hello(const char *name) { return printf("Hello from libhello, %s\n", name); }
