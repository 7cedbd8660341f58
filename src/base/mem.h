/* Allocation that cannot fail: out of memory is fatal (a message, then abort). */
#ifndef TIGHTWAD_BASE_MEM_H
#define TIGHTWAD_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

/* All results are owned by the caller and freed with free(). */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
void *xreallocarray(void *p, size_t n, size_t size);
void *xmemdup(const void *p, size_t size);
char *xstrdup(const char *s); /* NULL in, NULL out */
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
