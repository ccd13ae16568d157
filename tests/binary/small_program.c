/* The program of the trees that tests pack: tells what it was given, or waits to be killed. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **argv, char **environment) {
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = 0;
    printf("program %s\n", self);
    for (int i = 0; i < count; i++) printf("argument %s\n", argv[i]);
    for (; *environment; environment++) printf("environment %s\n", *environment);
    for (int file = 3; file < 64; file++)
        if (fcntl(file, F_GETFD) != -1) printf("open %d\n", file);
    fflush(stdout);
    if (count > 1 && !strcmp(argv[1], "wait")) pause();
    return count > 1 && !strcmp(argv[1], "seven") ? 7 : 0;
}
