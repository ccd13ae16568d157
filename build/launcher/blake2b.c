/* BLAKE2b without a key, digest of 32 bytes, after RFC 7693. */
#include <string.h>

#include "launcher.h"

static const uint64_t START[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static const uint8_t SIGMA[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

static inline uint64_t turn(uint64_t word, int bits) { return word >> bits | word << (64 - bits); }

#define MIX(a, b, c, d, x, y)                                                                                         \
    do {                                                                                                              \
        v[a] += v[b] + (x), v[d] = turn(v[d] ^ v[a], 32);                                                             \
        v[c] += v[d], v[b] = turn(v[b] ^ v[c], 24);                                                                   \
        v[a] += v[b] + (y), v[d] = turn(v[d] ^ v[a], 16);                                                             \
        v[c] += v[d], v[b] = turn(v[b] ^ v[c], 63);                                                                   \
    } while (0)

static void compress(Blake2b *hash, const uint8_t *block, int last) {
    uint64_t v[16], m[16];
    memcpy(m, block, sizeof m); /* little-endian, as all hosts that this runs on */
    memcpy(v, hash->state, sizeof hash->state);
    memcpy(v + 8, START, sizeof START);
    v[12] ^= hash->count;
    if (last) v[14] = ~v[14];
    for (int round = 0; round < 12; round++) {
        const uint8_t *s = SIGMA[round];
        MIX(0, 4, 8, 12, m[s[0]], m[s[1]]); MIX(1, 5, 9, 13, m[s[2]], m[s[3]]);
        MIX(2, 6, 10, 14, m[s[4]], m[s[5]]); MIX(3, 7, 11, 15, m[s[6]], m[s[7]]);
        MIX(0, 5, 10, 15, m[s[8]], m[s[9]]); MIX(1, 6, 11, 12, m[s[10]], m[s[11]]);
        MIX(2, 7, 8, 13, m[s[12]], m[s[13]]); MIX(3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (int i = 0; i < 8; i++) hash->state[i] ^= v[i] ^ v[i + 8];
}

void blake2b_begin(Blake2b *hash) {
    memset(hash, 0, sizeof *hash);
    memcpy(hash->state, START, sizeof START);
    hash->state[0] ^= 0x01010000 ^ DIGEST_BYTES;
}

void blake2b_add(Blake2b *hash, const void *bytes, size_t size) {
    const uint8_t *next = bytes;
    while (size > 0) {
        if (hash->held == sizeof hash->block) { /* the last block waits until it is known to be the last */
            hash->count += sizeof hash->block;
            compress(hash, hash->block, 0);
            hash->held = 0;
        }
        while (hash->held == 0 && size > sizeof hash->block) {
            hash->count += sizeof hash->block;
            compress(hash, next, 0);
            next += sizeof hash->block, size -= sizeof hash->block;
        }
        size_t part = sizeof hash->block - hash->held;
        if (part > size) part = size;
        memcpy(hash->block + hash->held, next, part);
        hash->held += part, next += part, size -= part;
    }
}

void blake2b_end(Blake2b *hash, uint8_t digest[DIGEST_BYTES]) {
    hash->count += hash->held;
    memset(hash->block + hash->held, 0, sizeof hash->block - hash->held);
    compress(hash, hash->block, 1);
    memcpy(digest, hash->state, DIGEST_BYTES);
}
