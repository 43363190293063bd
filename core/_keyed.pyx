# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""BLAKE2b (RFC 7693) of many short keys with one beginning, eight bytes each, without a Python call per key."""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint64_t, uint8_t
from libc.string cimport memcpy

import numpy as np

cdef extern from *:
    """
    /* RFC 7693, sections 2.6 (initial values), 2.7 (permutations), 3.1 (mixing) and 3.2 (compression). */
    #include <stdint.h>
    #include <string.h>

    static const uint64_t keyed_iv[8] = {
        0x6A09E667F3BCC908ULL, 0xBB67AE8584CAA73BULL, 0x3C6EF372FE94F82BULL, 0xA54FF53A5F1D36F1ULL,
        0x510E527FADE682D1ULL, 0x9B05688C2B3E6C1FULL, 0x1F83D9ABFB41BD6BULL, 0x5BE0CD19137E2179ULL};
    static const uint8_t keyed_sigma[10][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

    static inline uint64_t keyed_turn(uint64_t x, int n) { return (x >> n) | (x << (64 - n)); }

    #define KEYED_MIX(a, b, c, d, x, y) \\
        a += b + (x); d = keyed_turn(d ^ a, 32); c += d; b = keyed_turn(b ^ c, 24); \\
        a += b + (y); d = keyed_turn(d ^ a, 16); c += d; b = keyed_turn(b ^ c, 63);

    static uint64_t keyed_word(const uint8_t *p) {  /* little-endian on every machine */
        uint64_t w = 0;
        for (int i = 7; i >= 0; i--) w = (w << 8) | p[i];
        return w;
    }

    static void keyed_compress(uint64_t *h, const uint8_t *block, uint64_t counted, int is_last) {
        uint64_t m[16], v[16];
        for (int i = 0; i < 16; i++) m[i] = keyed_word(block + 8 * i);
        for (int i = 0; i < 8; i++) { v[i] = h[i]; v[i + 8] = keyed_iv[i]; }
        v[12] ^= counted;
        if (is_last) v[14] = ~v[14];
        #pragma GCC unroll 12
        for (int r = 0; r < 12; r++) {
            const uint8_t *s = keyed_sigma[r % 10];
            KEYED_MIX(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]])
            KEYED_MIX(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]])
            KEYED_MIX(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]])
            KEYED_MIX(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]])
            KEYED_MIX(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]])
            KEYED_MIX(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]])
            KEYED_MIX(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]])
            KEYED_MIX(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]])
        }
        for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
    }

    /* The first eight bytes of the digest of that length; a key has at least one byte. */
    static uint64_t keyed_digest(const uint8_t *key, size_t length) {
        uint64_t h[8];
        uint8_t block[128];
        memcpy(h, keyed_iv, sizeof h);
        h[0] ^= 0x01010008ULL;  /* fanout and depth 1, no key, 8 bytes */
        size_t at = 0;
        for (; length - at > 128; at += 128) keyed_compress(h, key + at, at + 128, 0);
        memset(block, 0, sizeof block);
        memcpy(block, key + at, length - at);
        keyed_compress(h, block, length, 1);
        return h[0];
    }
    """
    uint64_t keyed_digest(const uint8_t *key, size_t length) nogil


def digests(bytes prefix, list labels):
    """Return the eight-byte digests of a prefix with each label's text behind it, shape (n_labels,).

    Parameters
    ----------
    prefix
        At least one byte.
    labels
        Strings, or what ``str`` makes one of.
    """
    cdef Py_ssize_t n = len(labels), n_prefix = len(prefix), length = 0
    found = np.empty(n, np.uint64)
    cdef uint64_t[::1] out = found
    cdef bytearray buffer = bytearray(n_prefix + 256)
    cdef uint8_t[::1] key = buffer
    cdef const char *text
    cdef const char *first = prefix
    cdef Py_ssize_t i
    if n_prefix == 0:
        raise ValueError("the prefix is empty")
    memcpy(&key[0], first, n_prefix)
    for i in range(n):
        label = labels[i]
        if type(label) is not str:
            label = str(label)
        text = PyUnicode_AsUTF8AndSize(label, &length)
        if n_prefix + length > key.shape[0]:
            buffer = bytearray(n_prefix + 2 * length)
            key = buffer
            memcpy(&key[0], first, n_prefix)
        memcpy(&key[n_prefix], text, length)
        out[i] = keyed_digest(&key[0], n_prefix + length)
    return found
