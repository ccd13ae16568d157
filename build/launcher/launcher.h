/* The parts of the launcher, each in a file of its own. All strings are plain bytes, all sizes are bytes. */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define PROGRAM "rag-appliance"
#define MANIFEST "MANIFEST"
#define UNPACK_VARIABLE "RAG_APPLIANCE_UNPACK_DIR"
#define DIGEST_BYTES 32
#define TREE_TIME 946684800 /* 2000-01-01 00:00 UTC: the time of change that every file of a tree bears */

enum { EXIT_CANNOT_START = 70 }; /* <sysexits.h> EX_SOFTWARE: the program itself was never reached */

/* blake2b.c: BLAKE2b with 32 bytes of digest (RFC 7693). */
typedef struct {
    uint64_t state[8];
    uint64_t count;
    size_t held;
    uint8_t block[128];
} Blake2b;
void blake2b_begin(Blake2b *hash);
void blake2b_add(Blake2b *hash, const void *bytes, size_t size);
void blake2b_end(Blake2b *hash, uint8_t digest[DIGEST_BYTES]);

/* host.c: what this host must have. Each returns 0, or writes the whole sentence to `why` and returns -1. */
int check_processor(char *why, size_t size);
int check_libraries(char *why, size_t size);

/* payload.c: the archive behind the launcher's own bytes. */
typedef struct {
    char magic[16];
    uint64_t offset, size, unpacked; /* of the archive in this file; of the tree */
    uint64_t manifest, entries;          /* size of the manifest; its lines but the heading */
    uint8_t digest[DIGEST_BYTES]; /* of the manifest */
    char version[32];
} Trailer;
typedef struct Payload Payload;
int payload_open(Trailer *trailer);                  /* -> file descriptor, or -1 */
Payload *payload_begin(int file, const Trailer *);   /* NULL: no memory */
int payload_read(Payload *, void *bytes, size_t n);  /* 0: exactly n bytes; -1: damaged, or the file cannot be read */
void payload_end(Payload *);

/* manifest.c: what a tree consists of. */
typedef struct {
    char kind;                    /* 'f' file, 'l' link */
    unsigned mode;
    uint64_t size;
    uint8_t digest[DIGEST_BYTES]; /* of a file */
    const char *target;           /* of a link */
    const char *path;
} Entry;
typedef struct {
    char *text;
    size_t count;
    Entry *entries;
} Manifest;
int manifest_parse(Manifest *, char *text, size_t size, uint64_t entries); /* takes `text`; 0 or -1 */
void manifest_free(Manifest *);

/* tree.c: an unpacked tree in a folder. */
int tree_is_whole(int folder, const char *name, const Trailer *); /* 1 or 0 */
void trees_set_aside(int folder, const char *name);     /* a torn one, so that a whole one can take its name */
void trees_remove_others(int folder, const char *name); /* those nobody runs, and half-made ones */

/* unpack.c */
int unpack(int file, const Trailer *, int folder, const char *name, char *why, size_t size); /* 0 or -1 */

/* places.c: where a tree may lie. */
typedef struct {
    char path[PATH_MAX];
    const char *meaning;
    int chosen; /* named by the operator */
} Place;
size_t places(Place *list, size_t most);
int place_open(const Place *, int make, char *why, size_t size); /* -> descriptor of a safe folder, or -1 */

#endif
