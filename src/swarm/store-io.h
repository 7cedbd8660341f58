/* Reading, writing and copying at places of files: what the crew does for a store.  All of it blocks. */
#ifndef TIGHTWAD_SWARM_STORE_IO_H
#define TIGHTWAD_SWARM_STORE_IO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

/* All of it, whatever interrupts: 0, or -1 and errno.  A file that ends before is EIO. */
int store_io_read(int fd, void *data, size_t len, uint64_t at);
int store_io_write(int fd, const void *data, size_t len, uint64_t at);

/* Adds what lies in [from, to) of the file to a hash.  0, or -1 and errno; ECANCELED once *stop. */
int store_io_hash(EVP_MD_CTX *hash, int fd, uint64_t from, uint64_t to, const atomic_bool *stop);

/* Copies `size` bytes: shares the blocks where the file system can (FICLONERANGE), else lets the kernel copy
 * (copy_file_range), else does it itself.  0, or -1 and errno; ECANCELED once *stop. */
int store_io_copy(int to, uint64_t to_at, int from, uint64_t from_at, uint64_t size, const atomic_bool *stop);

/* Takes the blocks of that range from the file system now, without changing what can be read there, so that a full disk
 * shows before the bytes are fetched and the pieces lie in one.  0 where that can't be done at all; -1 and errno:
 * there is no room. */
int store_io_reserve(int fd, uint64_t at, uint64_t size);

/* Gives the blocks of that range back; where that can't be done they stay, and are written over. */
void store_io_release(int fd, uint64_t at, uint64_t size);

/* In a folder, and never over anything: 0, or -1 and errno (EEXIST: there is something of that name). */
int store_io_rename(int dir, const char *from, const char *to);

bool store_io_is_full(int error); /* ENOSPC, EDQUOT, EFBIG: no room, which may change */

#endif
