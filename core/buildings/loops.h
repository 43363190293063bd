/* What compilers are told of the loops over buildings and zones. */
#ifndef COSIM_LOOPS_H
#define COSIM_LOOPS_H

/* Rows of one array never overlap, which a compiler cannot see. */
#if defined(__clang__)
#define COSIM_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define COSIM_INDEPENDENT _Pragma("GCC ivdep")
#else
#define COSIM_INDEPENDENT
#endif

#endif
