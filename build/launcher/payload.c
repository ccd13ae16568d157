/* The archive behind the launcher's own bytes: a tar compressed with zstd, read as one stream. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "launcher.h"
#include "zstd.c" /* the amalgamated library: compiled with -fwhole-program, only its decoder is left */

static const char MAGIC[16] = "rag-appliance 1\n";

#define EXPORT __attribute__((externally_visible))

struct Payload {
    int file;
    uint64_t at, end;
    ZSTD_DCtx *context;
    ZSTD_inBuffer in;
    size_t capacity;
    uint8_t bytes[];
};

static int read_all(int file, void *bytes, size_t size, uint64_t at) {
    uint8_t *next = bytes;
    while (size > 0) {
        ssize_t got = pread(file, next, size, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        next += got, size -= (size_t)got, at += (uint64_t)got;
    }
    return 0;
}

EXPORT int payload_open(Trailer *trailer) {
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (file < 0) file = open((const char *)getauxval(AT_EXECFN), O_RDONLY | O_CLOEXEC); /* without /proc */
    struct stat seen;
    if (file < 0 || fstat(file, &seen) != 0) return -1;
    uint64_t size = (uint64_t)seen.st_size;
    if (size < sizeof *trailer || read_all(file, trailer, sizeof *trailer, size - sizeof *trailer) != 0 ||
        memcmp(trailer->magic, MAGIC, sizeof MAGIC) != 0 || trailer->version[sizeof trailer->version - 1] != 0 ||
        trailer->offset > size || trailer->size > size - trailer->offset || strchr(trailer->version, '/')) {
        close(file);
        return -1;
    }
    return file;
}

EXPORT Payload *payload_begin(int file, const Trailer *trailer) {
    size_t capacity = ZSTD_DStreamInSize();
    Payload *payload = malloc(sizeof *payload + capacity);
    if (!payload) return NULL;
    *payload = (Payload){.file = file, .at = trailer->offset, .end = trailer->offset + trailer->size};
    payload->capacity = capacity;
    payload->context = ZSTD_createDCtx();
    payload->in = (ZSTD_inBuffer){payload->bytes, 0, 0};
    if (payload->context) return payload;
    free(payload);
    return NULL;
}

EXPORT int payload_read(Payload *payload, void *bytes, size_t size) {
    ZSTD_outBuffer out = {bytes, size, 0};
    while (out.pos < out.size) {
        size_t before = out.pos, used = payload->in.pos;
        size_t left = ZSTD_decompressStream(payload->context, &out, &payload->in);
        if (ZSTD_isError(left)) return -1;
        if (out.pos > before || payload->in.pos > used) continue;
        uint64_t part = payload->end - payload->at;
        if (part == 0) return -1;
        if (part > payload->capacity) part = payload->capacity;
        if (read_all(payload->file, payload->bytes, part, payload->at) != 0) return -1;
        payload->at += part;
        payload->in = (ZSTD_inBuffer){payload->bytes, part, 0};
    }
    return 0;
}

EXPORT void payload_end(Payload *payload) {
    ZSTD_freeDCtx(payload->context);
    free(payload);
}
