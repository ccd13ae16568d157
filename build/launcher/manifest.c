/* The manifest: one line an entry, fields between tabs: kind, mode, size, digest or target, path. Sorted by path. */
#include <stdlib.h>
#include <string.h>

#include "launcher.h"

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

static int parse_digest(const char *text, uint8_t digest[DIGEST_BYTES]) {
    if (strlen(text) != 2 * DIGEST_BYTES) return -1;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = hex(text[2 * i]), low = hex(text[2 * i + 1]);
        if (high < 0 || low < 0) return -1;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

/* Relative, and never out of the tree. */
static int is_inside(const char *path) {
    if (!*path || *path == '/') return 0;
    for (const char *part = path; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.')) return 0;
    }
    return 1;
}

static int parse_line(Entry *entry, char *line) {
    char *kind = strsep(&line, "\t"), *mode = strsep(&line, "\t"), *size = strsep(&line, "\t");
    char *third = strsep(&line, "\t"), *path = strsep(&line, "\t");
    if (!path || line || (strcmp(kind, "f") && strcmp(kind, "l")) || !is_inside(path)) return -1;
    *entry = (Entry){.kind = *kind, .mode = (unsigned)strtoul(mode, NULL, 8), .size = strtoull(size, NULL, 10)};
    entry->path = path;
    entry->target = third;
    return *kind == 'f' ? parse_digest(third, entry->digest) : 0;
}

int manifest_parse(Manifest *manifest, char *text, size_t size, uint64_t entries) {
    *manifest = (Manifest){.text = text};
    if (size == 0 || text[size - 1] != '\n' || memchr(text, 0, size) || entries > size) return -1;
    text[size - 1] = 0;
    manifest->entries = calloc(entries + 1, sizeof *manifest->entries);
    if (!manifest->entries) return -1;
    for (char *line; (line = strsep(&text, "\n"));) {
        if (*line == '#') continue; /* the heading, for people */
        if (manifest->count == entries || parse_line(&manifest->entries[manifest->count], line) != 0) return -1;
        manifest->count++;
    }
    return manifest->count == entries ? 0 : -1;
}

void manifest_free(Manifest *manifest) {
    free(manifest->text);
    free(manifest->entries);
    *manifest = (Manifest){0};
}
