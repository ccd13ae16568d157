/* From the archive to a tree: beside, checked, synced, then renamed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "launcher.h"

enum { BLOCK = 512, PART = 1 << 20, MOST_MANIFEST = 16 << 20 };
static const char DAMAGED[] = "the file is damaged; copy it here again and compare its checksum with the one it came with";

typedef struct {
    Payload *payload;
    uint8_t *buffer; /* of PART bytes */
    char *why;
    size_t why_size;
} Work;

static int fail(Work *work, const char *doing, const char *path) {
    snprintf(work->why, work->why_size, "%s %s: %s", doing, path, strerror(errno));
    return -1;
}

static int damaged(Work *work) {
    snprintf(work->why, work->why_size, "%s", DAMAGED);
    return -1;
}

/* The next header of the tar (POSIX ustar) must be of this kind, size and path. */
static int expect(Work *work, char kind, uint64_t size, const char *path) {
    struct {
        char name[100], mode[8], uid[8], gid[8], size[12], time[12], sum[8], type, link[100], magic[8], user[32], group[32],
            device[16], prefix[155], rest[12];
    } header;
    char whole[sizeof header.prefix + sizeof header.name + 2];
    if (payload_read(work->payload, &header, BLOCK) != 0) return damaged(work);
    snprintf(whole, sizeof whole, "%.155s%s%.100s", header.prefix, *header.prefix ? "/" : "", header.name);
    char digits[13] = "";
    memcpy(digits, header.size, 12);
    if (strcmp(whole, path) || strtoull(digits, NULL, 8) != size || header.type != (kind == 'l' ? '2' : '0'))
        return damaged(work);
    return 0;
}

static int skip_padding(Work *work, uint64_t size) {
    size_t rest = (BLOCK - size % BLOCK) % BLOCK;
    return rest && payload_read(work->payload, work->buffer, rest) != 0 ? damaged(work) : 0;
}

static int write_all(int file, const uint8_t *bytes, size_t size) {
    while (size > 0) {
        ssize_t put = write(file, bytes, size);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return -1;
        bytes += put, size -= (size_t)put;
    }
    return 0;
}

static int finish(int file, unsigned mode) {
    const struct timespec times[2] = {{TREE_TIME, 0}, {TREE_TIME, 0}};
    int done = fchmod(file, mode) == 0 && futimens(file, times) == 0;
    return close(file) == 0 && done ? 0 : -1;
}

static int make_folders(Work *work, int tree, const char *path) {
    char part[PATH_MAX];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (mkdirat(tree, part, 0755) != 0 && errno != EEXIST) return fail(work, "making", part);
    }
    return 0;
}

/* One file, its digest compared. */
static int write_file(Work *work, int tree, const Entry *entry) {
    int file = openat(tree, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) return fail(work, "making", entry->path);
    Blake2b hash;
    blake2b_begin(&hash);
    for (uint64_t left = entry->size; left > 0;) {
        size_t part = left < PART ? (size_t)left : PART;
        int bad = payload_read(work->payload, work->buffer, part) != 0 ? damaged(work) : 0;
        if (!bad && write_all(file, work->buffer, part) != 0) bad = fail(work, "writing", entry->path);
        if (bad) {
            close(file);
            return -1;
        }
        blake2b_add(&hash, work->buffer, part);
        left -= part;
    }
    uint8_t digest[DIGEST_BYTES];
    blake2b_end(&hash, digest);
    if (finish(file, entry->mode) != 0) return fail(work, "writing", entry->path);
    if (memcmp(digest, entry->digest, DIGEST_BYTES) != 0) return damaged(work);
    return skip_padding(work, entry->size);
}

/* The first member: the manifest, which the trailer's digest vouches for; its text is what all else is held against. */
static int write_manifest(Work *work, int tree, const Trailer *trailer, Manifest *manifest) {
    uint64_t size = trailer->manifest;
    char *text = size && size < MOST_MANIFEST ? malloc(size) : NULL;
    if (!text) return damaged(work);
    Blake2b hash;
    uint8_t digest[DIGEST_BYTES];
    blake2b_begin(&hash);
    int bad = expect(work, 'f', size, MANIFEST) || (payload_read(work->payload, text, size) != 0 && damaged(work));
    if (!bad) {
        blake2b_add(&hash, text, size);
        blake2b_end(&hash, digest);
        bad = memcmp(digest, trailer->digest, DIGEST_BYTES) != 0 ? damaged(work) : skip_padding(work, size);
    }
    int file = bad ? -1 : openat(tree, MANIFEST, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (!bad && (file < 0 || write_all(file, (uint8_t *)text, size) != 0 || finish(file, 0444) != 0))
        bad = fail(work, "writing", MANIFEST);
    if (bad) {
        free(text);
        return -1;
    }
    if (manifest_parse(manifest, text, size, trailer->entries) == 0) return 0;
    manifest_free(manifest);
    return damaged(work);
}

static int write_tree(Work *work, int tree, const Trailer *trailer) {
    Manifest manifest;
    if (write_manifest(work, tree, trailer, &manifest) != 0) return -1;
    int bad = 0;
    for (size_t i = 0; i < manifest.count && !bad; i++) {
        const Entry *entry = &manifest.entries[i];
        bad = expect(work, entry->kind, entry->kind == 'f' ? entry->size : 0, entry->path) || make_folders(work, tree, entry->path);
        if (bad) break;
        if (entry->kind == 'f') bad = write_file(work, tree, entry);
        else if (symlinkat(entry->target, tree, entry->path) != 0) bad = fail(work, "making", entry->path);
    }
    manifest_free(&manifest);
    return bad ? -1 : 0;
}

static int has_room(int folder, const Trailer *trailer, char *why, size_t size) {
    struct statvfs disk;
    uint64_t needed = trailer->unpacked + trailer->entries * 4096;
    if (fstatvfs(folder, &disk) != 0 || (uint64_t)disk.f_bavail * disk.f_frsize >= needed) return 1;
    snprintf(why, size, "%llu MB are free, %llu MB are needed",
             (unsigned long long)((uint64_t)disk.f_bavail * disk.f_frsize / 1000000), (unsigned long long)(needed / 1000000));
    return 0;
}

int unpack(int file, const Trailer *trailer, int folder, const char *name, char *why, size_t size) {
    char partial[NAME_MAX];
    if (!has_room(folder, trailer, why, size)) return -1;
    snprintf(partial, sizeof partial, ".partial-%ld", (long)getpid());
    Work work = {payload_begin(file, trailer), malloc(PART), why, size};
    int tree = -1, bad = -1;
    if (!work.payload || !work.buffer)
        snprintf(why, size, "there is not enough memory");
    else if (mkdirat(folder, partial, 0755) != 0 ||
             (tree = openat(folder, partial, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        fail(&work, "making", partial);
    else
        bad = write_tree(&work, tree, trailer);
    /* Everything is on disk before the name is: a tree that can be seen is whole, also after a power cut. */
    if (!bad && syncfs(tree) != 0) bad = fail(&work, "syncing", partial);
    if (!bad && renameat(folder, partial, folder, name) != 0) bad = fail(&work, "renaming", partial);
    if (!bad) fsync(folder);
    if (tree >= 0) close(tree);
    if (work.payload) payload_end(work.payload);
    free(work.buffer);
    return bad;
}
