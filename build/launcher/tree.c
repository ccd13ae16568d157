/* Whether an unpacked tree is whole, and the removal of those that nobody needs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher.h"

enum { MOST_MANIFEST = 16 << 20 };

/* The manifest in `tree`, which must have the digest of the trailer. */
static int read_manifest(int tree, const Trailer *trailer, Manifest *manifest) {
    int file = openat(tree, MANIFEST, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat seen;
    if (file < 0) return -1;
    char *text = NULL;
    ssize_t got = -1;
    if (fstat(file, &seen) == 0 && S_ISREG(seen.st_mode) && seen.st_size > 0 && seen.st_size < MOST_MANIFEST &&
        (text = malloc((size_t)seen.st_size)))
        got = read(file, text, (size_t)seen.st_size);
    close(file);
    uint8_t digest[DIGEST_BYTES] = {0};
    if (got > 0 && got == seen.st_size) {
        Blake2b hash;
        blake2b_begin(&hash);
        blake2b_add(&hash, text, (size_t)got);
        blake2b_end(&hash, digest);
    }
    if (memcmp(digest, trailer->digest, DIGEST_BYTES) != 0) {
        free(text);
        return -1;
    }
    if (manifest_parse(manifest, text, (size_t)got, trailer->entries) == 0) return 0;
    manifest_free(manifest);
    return -1;
}

static int is_ours(const struct stat *seen) {
    return (seen->st_uid == 0 || seen->st_uid == geteuid()) && (S_ISLNK(seen->st_mode) || !(seen->st_mode & 022));
}

/* Kind, owner, size and time of change; the bytes were checked when the tree was made. */
static int is_as_made(int tree, const Entry *entry) {
    struct stat seen;
    if (fstatat(tree, entry->path, &seen, AT_SYMLINK_NOFOLLOW) != 0 || !is_ours(&seen)) return 0;
    if (entry->kind == 'l') return S_ISLNK(seen.st_mode);
    return S_ISREG(seen.st_mode) && (uint64_t)seen.st_size == entry->size && seen.st_mtime == TREE_TIME;
}

int tree_is_whole(int folder, const char *name, const Trailer *trailer) {
    int tree = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tree < 0) return 0;
    struct stat seen;
    Manifest manifest;
    int whole = fstat(tree, &seen) == 0 && is_ours(&seen) && read_manifest(tree, trailer, &manifest) == 0;
    if (whole) {
        for (size_t i = 0; i < manifest.count && whole; i++) whole = is_as_made(tree, &manifest.entries[i]);
        manifest_free(&manifest);
    }
    close(tree);
    return whole;
}

/* Deletes `name` and everything in it, never following a link. */
static void remove_all(int folder, const char *name) {
    if (unlinkat(folder, name, 0) == 0 || (errno != EISDIR && errno != EPERM)) return;
    int inside = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = inside < 0 ? NULL : fdopendir(inside);
    if (!list) {
        if (inside >= 0) close(inside);
        return;
    }
    for (struct dirent *entry; (entry = readdir(list));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) remove_all(inside, entry->d_name);
    closedir(list);
    unlinkat(folder, name, AT_REMOVEDIR);
}

/* A process whose program file we may not look at (it gave up being inspected) is told by its name. */
static int is_named_like_us(const char *process) {
    char path[64], head[64] = "";
    snprintf(path, sizeof path, "/proc/%.20s/comm", process);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t got = read(file, head, sizeof head - 1);
    close(file);
    return got > 0 && strncmp(head, PROGRAM, strlen(PROGRAM)) == 0;
}

/* Whether a process runs the program in tree `name`, as far as can be seen; without /proc nothing can. */
static int is_run(int folder, const char *name) {
    char path[NAME_MAX + sizeof PROGRAM + 2];
    struct stat program, running;
    snprintf(path, sizeof path, "%s/" PROGRAM, name);
    if (fstatat(folder, path, &program, AT_SYMLINK_NOFOLLOW) != 0) return 0;
    DIR *processes = opendir("/proc");
    if (!processes) return 1;
    int run = 0, seen = 0;
    for (struct dirent *entry; !run && (entry = readdir(processes));) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
        snprintf(path, sizeof path, "/proc/%.20s/exe", entry->d_name);
        seen = 1;
        if (stat(path, &running) == 0)
            run = running.st_dev == program.st_dev && running.st_ino == program.st_ino;
        else
            run = (errno == EACCES || errno == EPERM) && is_named_like_us(entry->d_name);
    }
    closedir(processes);
    return run || !seen;
}

void trees_set_aside(int folder, const char *name) {
    char aside[64];
    snprintf(aside, sizeof aside, PROGRAM "-torn-%ld", (long)getpid());
    renameat(folder, name, folder, aside);
}

void trees_remove_others(int folder, const char *name) {
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    if (!list) return;
    for (struct dirent *entry; (entry = readdir(list));) {
        const char *other = entry->d_name;
        int half_made = strncmp(other, ".partial-", 9) == 0;
        int is_tree = strncmp(other, PROGRAM "-", sizeof PROGRAM) == 0 && strcmp(other, name) != 0;
        if (half_made) remove_all(folder, other);
        if (!is_tree || is_run(folder, other)) continue;
        char gone[NAME_MAX + 16]; /* first out of sight, so that a half-removed tree is never taken for one */
        snprintf(gone, sizeof gone, ".partial-%.200s", other);
        if (renameat(folder, other, folder, gone) == 0) remove_all(folder, gone);
    }
    closedir(list);
}
