#include <hello.h>
#include <stdio.h>

static int unused_on_purpose;

int main(void)
{
    int width = 80
    printf("%s is %d columns wide\n", hello_version(), width);
    return hello("hello-broken");
}
