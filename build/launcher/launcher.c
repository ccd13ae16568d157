/* rag-appliance in one file: checks the host, finds or makes the unpacked tree, and becomes the program in it.

   It opens this file, the folders that places.c lists and /proc; it writes only below the one folder that the tree is
   unpacked into; it executes only TREE/rag-appliance; it makes no socket, no thread and no child. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "launcher.h"

enum { MOST_PLACES = 12, WAIT_S = 120 };

typedef struct {
    char tried[8192]; /* every place and why not, for the one who has to choose another */
    size_t length;
} Log;

static int cannot_start(const char *sentence) {
    fprintf(stderr, PROGRAM ": %s\n", sentence);
    return EXIT_CANNOT_START;
}

static void note(Log *log, const Place *place, const char *why) {
    int more = snprintf(log->tried + log->length, sizeof log->tried - log->length, "  %s (%s): %s\n", place->path,
                        place->meaning, why);
    if (more > 0 && (size_t)more < sizeof log->tried - log->length) log->length += (size_t)more;
}

/* The lock of a folder: exclusive to make trees, shared until the program runs, so that no other removes it before.
   -> its descriptor (closed by execve), -1 when there is none. */
static int lock(int folder, int how) {
    int file = openat(folder, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) return -1;
    const struct timespec moment = {0, 50000000};
    for (int tries = 0; tries < WAIT_S * 20; tries++) {
        if (flock(file, how | LOCK_NB) == 0) return file;
        if (errno != EWOULDBLOCK && errno != EINTR) break;
        nanosleep(&moment, NULL);
    }
    close(file);
    return -1;
}

/* Becomes the program; returns only when that fails. */
static void become(int folder, const char *name, char **argv, char **environment, char *why, size_t size) {
    char real[PATH_MAX], path[PATH_MAX + NAME_MAX + sizeof PROGRAM + 2], link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, real, sizeof real - 1);
    if (length <= 0) {
        snprintf(why, size, "/proc is not mounted");
        return;
    }
    real[length] = 0;
    snprintf(path, sizeof path, "%s/%s/" PROGRAM, real, name);
    execve(path, argv, environment);
    snprintf(why, size, "running %s: %s", path, strerror(errno));
}

/* Runs a whole tree out of `place`; returns only when there is none. */
static void run_from(const Place *place, const Trailer *trailer, const char *name, char **argv, char **environment) {
    char why[PATH_MAX + 512];
    int folder = place_open(place, 0, why, sizeof why);
    if (folder < 0) return;
    int held = faccessat(folder, "lock", R_OK | W_OK, 0) == 0 ? lock(folder, LOCK_SH) : -1;
    if (tree_is_whole(folder, name, trailer)) become(folder, name, argv, environment, why, sizeof why);
    if (held >= 0) close(held);
    close(folder);
}

/* Makes the tree in `place` and runs it; returns only when that fails, with the reason. */
static void make_in(const Place *place, int file, const Trailer *trailer, const char *name, char **argv, char **environment,
                    char *why, size_t size) {
    int folder = place_open(place, 1, why, size);
    if (folder < 0) return;
    int held = lock(folder, LOCK_EX);
    if (held < 0) {
        snprintf(why, size, "another process has held its lock for %d seconds", WAIT_S);
        close(folder);
        return;
    }
    int whole = tree_is_whole(folder, name, trailer); /* made while we waited */
    if (!whole) {
        trees_remove_others(folder, name);
        trees_set_aside(folder, name);
        fprintf(stderr, PROGRAM ": unpacking %llu MB to %s, once\n", (unsigned long long)(trailer->unpacked / 1000000),
                place->path);
        mode_t mask = umask(022);
        whole = unpack(file, trailer, folder, name, why, size) == 0;
        umask(mask);
        trees_remove_others(folder, name); /* what was left of a failure, or set aside */
    }
    if (whole) become(folder, name, argv, environment, why, size);
    close(held);
    close(folder);
}

int main(int count, char **argv, char **environment) {
    char why[PATH_MAX + 512], name[NAME_MAX];
    Trailer trailer;
    Place list[MOST_PLACES];
    static Log log;
    (void)count;
    if (getauxval(AT_SECURE)) return cannot_start("it must not be set-user-ID or set-group-ID; start it as the user it is to be.");
    if (check_processor(why, sizeof why) != 0) return cannot_start(why);
    int file = payload_open(&trailer);
    if (file < 0)
        return cannot_start("this file has been cut short or changed; copy it here again and compare its checksum.");
    int length = snprintf(name, sizeof name, PROGRAM "-%s-", trailer.version);
    for (size_t i = 0; i < 12; i++) length += snprintf(name + length, sizeof name - (size_t)length, "%02x", trailer.digest[i]);
    size_t known = places(list, MOST_PLACES);
    for (size_t i = 0; i < known; i++) run_from(&list[i], &trailer, name, argv, environment);
    if (check_libraries(why, sizeof why) != 0) return cannot_start(why);
    for (size_t i = 0; i < known; i++) {
        make_in(&list[i], file, &trailer, name, argv, environment, why, sizeof why);
        note(&log, &list[i], why);
    }
    fprintf(stderr, PROGRAM ": there is no place to unpack the program to. Tried:\n%s", log.tried);
    return cannot_start("set " UNPACK_VARIABLE " to a folder of your own, writable by nobody else, that allows execution and "
                        "has room.");
}
