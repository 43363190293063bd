/* Memory for SUMO's program: small blocks without headers from huge pages, and the program's own code in huge pages.

   SUMO spends an eighth of its time in malloc and free, and more in waiting for memory whose address it has to look up.
   Preloaded into the program: blocks of at most LARGEST bytes come from spans of one size, and a freed block is the next
   one of its size that the same thread gets. Everything else is the C library's, also if there is no room for the region.
   Spans stay with their size until the program ends. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

#define GRAIN ((size_t)16) /* malloc's alignment */
#define LARGEST ((size_t)1024)
#define N_SIZES (LARGEST / GRAIN + 1)
#define SPAN ((size_t)1 << 16)
#define REGION ((size_t)1 << 36) /* of addresses, not of memory */
#define HUGE_PAGE ((size_t)1 << 21)
#define LIKELY(condition) __builtin_expect(condition, 1)

struct block {
    struct block *next;
};

/* By size in grains: freed blocks, and what was never used of the last span. */
static __thread struct {
    struct block *freed[N_SIZES];
    char *fresh[N_SIZES], *end[N_SIZES];
} mine __attribute__((tls_model("initial-exec")));

static char *region; /* NULL: the C library has to do */
static size_t n_used;
static unsigned char grains_of_span[REGION / SPAN];

static char *huge_pages(size_t size, int flags) {
    char *place = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (place == MAP_FAILED) return NULL;
    char *aligned = (char *)(((uintptr_t)place + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
    madvise(aligned, size, MADV_HUGEPAGE);
    return aligned;
}

static __attribute__((noinline)) void *from_new_span(size_t grains) {
    size_t size = grains * GRAIN;
    static int tried;
    if (!__atomic_exchange_n(&tried, 1, __ATOMIC_ACQ_REL))
        __atomic_store_n(&region, huge_pages(REGION, MAP_NORESERVE), __ATOMIC_RELEASE);
    if (__atomic_load_n(&region, __ATOMIC_ACQUIRE) == NULL) return __libc_malloc(size);
    size_t at = __atomic_fetch_add(&n_used, SPAN, __ATOMIC_RELAXED);
    if (at >= REGION) return __libc_malloc(size);
    grains_of_span[at / SPAN] = (unsigned char)grains;
    mine.fresh[grains] = region + at + size;
    mine.end[grains] = region + at + SPAN / size * size;
    return region + at;
}

static inline void *take(size_t size) {
    size_t grains = size ? (size + GRAIN - 1) / GRAIN : 1;
    struct block *block = mine.freed[grains];
    if (LIKELY(block != NULL)) {
        mine.freed[grains] = block->next;
        return block;
    }
    char *fresh = mine.fresh[grains];
    if (LIKELY(fresh != mine.end[grains])) {
        mine.fresh[grains] = fresh + grains * GRAIN;
        return fresh;
    }
    return from_new_span(grains);
}

static inline int is_ours(const void *block) {
    return region != NULL && (uintptr_t)block - (uintptr_t)region < REGION;
}

static inline size_t grains_of(const void *block) {
    return grains_of_span[((uintptr_t)block - (uintptr_t)region) / SPAN];
}

static inline void give_back(void *place) {
    size_t grains = grains_of(place);
    struct block *block = place;
    block->next = mine.freed[grains];
    mine.freed[grains] = block;
}

void *malloc(size_t size) {
    return LIKELY(size <= LARGEST) ? take(size) : __libc_malloc(size);
}

void free(void *block) {
    if (LIKELY(is_ours(block)))
        give_back(block);
    else
        __libc_free(block);
}

void *calloc(size_t n, size_t each) {
    size_t size;
    if (__builtin_mul_overflow(n, each, &size) || size > LARGEST) return __libc_calloc(n, each);
    void *block = take(size);
    return block == NULL ? NULL : memset(block, 0, size);
}

void *realloc(void *block, size_t size) {
    if (block == NULL) return malloc(size);
    if (!is_ours(block)) return __libc_realloc(block, size);
    size_t had = grains_of(block) * GRAIN;
    if (size == 0) {
        give_back(block);
        return NULL;
    }
    if (size <= had && size > had / 2) return block;
    void *other = malloc(size);
    if (other != NULL) {
        memcpy(other, block, had < size ? had : size);
        give_back(block);
    }
    return other;
}

void *memalign(size_t alignment, size_t size) {
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) || alignment == 0 || (alignment & (alignment - 1))) return EINVAL;
    void *found = __libc_memalign(alignment, size);
    if (found == NULL) return ENOMEM;
    *block = found;
    return 0;
}

void *valloc(size_t size) {
    return __libc_memalign((size_t)sysconf(_SC_PAGESIZE), size);
}

void *pvalloc(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return __libc_memalign(page, (size + page - 1) & ~(page - 1));
}

size_t malloc_usable_size(void *block) {
    if (is_ours(block)) return grains_of(block) * GRAIN;
    size_t (*next)(void *);
    *(void **)&next = dlsym(RTLD_NEXT, "malloc_usable_size");
    return next(block);
}

/* C++'s new and delete, which otherwise reach malloc and free by two more calls. */
void *_Znwm(size_t size) {
    if (LIKELY(size <= LARGEST)) {
        void *block = take(size);
        if (LIKELY(block != NULL)) return block;
    }
    void *(*next)(size_t); /* which throws */
    *(void **)&next = dlsym(RTLD_NEXT, "_Znwm");
    return next(size);
}

void _ZdlPv(void *block) {
    free(block);
}

void _ZdlPvm(void *block, size_t size) {
    (void)size;
    free(block);
}

static int move_code(struct dl_phdr_info *program, size_t size, void *data) {
    (void)size, (void)data;
    for (int k = 0; k < program->dlpi_phnum; k++) {
        const ElfW(Phdr) *part = &program->dlpi_phdr[k];
        if (part->p_type != PT_LOAD || part->p_flags != (PF_R | PF_X)) continue;
        uintptr_t begin = (program->dlpi_addr + part->p_vaddr + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
        uintptr_t end = (program->dlpi_addr + part->p_vaddr + part->p_filesz) & ~(HUGE_PAGE - 1);
        if (begin >= end) continue;
        size_t length = end - begin;
        char *copy = huge_pages(length, 0);
        if (copy == NULL) continue;
        memcpy(copy, (void *)begin, length);
        if (mprotect(copy, length, PROT_READ | PROT_EXEC) == 0)
            mremap(copy, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)begin);
        else
            munmap(copy, length);
    }
    return 1; /* the program is the first; its libraries take little time */
}

__attribute__((constructor)) static void use_huge_pages_for_code(void) {
    dl_iterate_phdr(move_code, NULL);
}
