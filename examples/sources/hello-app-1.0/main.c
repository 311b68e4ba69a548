#include <hello.h>

int main(int argc, char **argv) { return hello(argc > 1 ? argv[1] : "hello-app") < 0; }
