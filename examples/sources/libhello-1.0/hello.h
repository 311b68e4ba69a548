#ifndef HELLO_H
#define HELLO_H
/* Writes "Hello from libhello, NAME" and a new line to standard output; returns the number of bytes written. */
int hello(const char *name);
#endif
