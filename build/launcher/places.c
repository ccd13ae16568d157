/* Where an unpacked tree may lie, in the order in which places are tried, and what makes a folder safe. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "launcher.h"

static size_t add(Place *list, size_t count, const char *base, const char *rest, const char *meaning) {
    if (!base || *base != '/') return count;
    Place *place = &list[count];
    place->meaning = meaning;
    place->chosen = 0;
    int length = snprintf(place->path, sizeof place->path, "%s%s", base, rest);
    return length > 0 && (size_t)length < sizeof place->path ? count + 1 : count;
}

static void folder_of_this_file(char *path, size_t size) {
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    path[length > 0 ? length : 0] = 0;
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
}

size_t places(Place *list, size_t most) {
    const char *chosen = getenv(UNPACK_VARIABLE);
    if (chosen && *chosen) { /* the operator's word is not overruled by a guess */
        if (add(list, 0, chosen, "", UNPACK_VARIABLE) == 0) {
            snprintf(list->path, sizeof list->path, "%s", chosen);
            list->meaning = UNPACK_VARIABLE;
        }
        list->chosen = 1;
        return 1;
    }
    char own[32], beside[PATH_MAX];
    size_t count = 0;
    snprintf(own, sizeof own, "/" PROGRAM "-%lu", (unsigned long)geteuid());
    folder_of_this_file(beside, sizeof beside);
    (void)most;
    count = add(list, count, getenv("CACHE_DIRECTORY"), "", "CACHE_DIRECTORY");
    count = add(list, count, "/var/cache", "/" PROGRAM, "cache of the system");
    count = add(list, count, getenv("XDG_CACHE_HOME"), "/" PROGRAM, "XDG_CACHE_HOME");
    count = add(list, count, getenv("HOME"), "/.cache/" PROGRAM, "cache of the user");
    count = add(list, count, beside, "/." PROGRAM, "beside the file");
    count = add(list, count, "/var/tmp", own, "temporary files that are kept");
    count = add(list, count, "/tmp", own, "temporary files");
    return add(list, count, "/dev/shm", own, "memory");
}

/* Nobody but root and this user may put another folder in its place. `path` is real: no links. */
static int is_reached_safely(const char *path) {
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (;;) {
        char *slash = strrchr(part, '/');
        if (!slash) return 0;
        slash[slash == part] = 0;
        struct stat seen;
        if (lstat(part, &seen) != 0 || !S_ISDIR(seen.st_mode) || (seen.st_uid != 0 && seen.st_uid != geteuid())) return 0;
        if ((seen.st_mode & 022) && !(seen.st_mode & S_ISVTX)) return 0;
        if (slash == part) return 1;
    }
}

static int make_folder(const char *path) {
    char parent[PATH_MAX];
    mode_t mode = geteuid() == 0 ? 0755 : 0700; /* what root unpacks, others may run */
    if (mkdir(path, mode) == 0 || errno == EEXIST) return 0;
    if (errno != ENOENT) return -1;
    snprintf(parent, sizeof parent, "%s", path);
    return mkdir(dirname(parent), 0700) == 0 && mkdir(path, mode) == 0 ? 0 : -1; /* ~/.cache of a new user */
}

static int refuse(int folder, const char *reason, char *why, size_t size) {
    if (folder >= 0) close(folder);
    snprintf(why, size, "%s", reason);
    return -1;
}

int place_open(const Place *place, int make, char *why, size_t size) {
    char real[PATH_MAX];
    struct stat seen;
    struct statvfs disk;
    if (*place->path != '/') return refuse(-1, "the path must begin with /", why, size);
    if (make && make_folder(place->path) != 0) return refuse(-1, strerror(errno), why, size);
    if (!realpath(place->path, real)) return refuse(-1, strerror(errno), why, size);
    int folder = open(real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 || fstat(folder, &seen) != 0) return refuse(folder, strerror(errno), why, size);
    if (seen.st_uid != geteuid() && (make || seen.st_uid != 0))
        return refuse(folder, "it belongs to another user", why, size);
    if (seen.st_mode & 022) return refuse(folder, "other users may write there", why, size);
    if (!place->chosen && !is_reached_safely(real))
        return refuse(folder, "other users may replace it (a folder above it is theirs, or they may write there)", why, size);
    if (fstatvfs(folder, &disk) == 0 && disk.f_flag & ST_NOEXEC)
        return refuse(folder, "programs cannot be run there (mounted noexec)", why, size);
    if (make && access(real, W_OK | X_OK) != 0) return refuse(folder, strerror(errno), why, size);
    return folder;
}
