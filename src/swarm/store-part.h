/* A file that is being filled: its folder, its lock, and how it gets its own name.  The crew's: all of it blocks. */
#ifndef TIGHTWAD_SWARM_STORE_PART_H
#define TIGHTWAD_SWARM_STORE_PART_H

#include <sys/types.h>

#include "swarm/manifest.h"
#include "swarm/store.h"

/* A folder, made where it is missing.  Its descriptor, or -1 and a cause. */
int store_part_folder(const char *dir, char **cause);

/* Opens a plain file in a folder for reading and writing, or makes it, and locks it: a lock that the kernel drops with
 * its holder.  Refuses links, files of several names, and one that another process is working on, which it names. path:
 * of the file, for messages. */
enum store_result store_part_open(int dir, const char *name, const char *path, int *fd, char **why);

/* What an errno means that came of something done with that file: STORE_FULL or STORE_FAILED, and *why ("m.gguf.part:
 * could not be written: …").  dir: a descriptor on that file system. */
enum store_result store_part_error(int dir, const char *path, int error, const char *doing, char **why);
int64_t store_part_room(int dir); /* bytes free, -1 unknown */
/* Whether so many bytes have room there, as far as is known: STORE_OK, or STORE_FAILED and *why. */
enum store_result store_part_fits(int dir, const char *path, uint64_t bytes, char **why);

/* All that was written: onto the disk.  After a failure the kernel takes what it could not write for written, so the
 * file must be read again from the disk, by another start, before it may land. */
enum store_result store_part_sync(int dir, const char *path, int fd, char **why);

/* A complete file that is on the disk: to its own name (which is never taken from another file), its map gone, its
 * manifest beside it and noted.  Unlocked then. */
struct store_part_names {
    int dir;
    const char *part, *map, *name; /* in it */
    const char *path;              /* of what it becomes, for messages and the manifest */
};
enum store_result store_part_land(const struct store_part_names *n, int fd, const struct manifest *m, char **why);

/* Its manifest beside a complete file, and noted as up to date; as far as that can be done. */
void store_part_save(const struct manifest *m, const char *path);

/* With the path of the complete file. */
#define STORE_OTHER_FILE "%s is there and is not this model: move it away, or pull into another folder"

#endif
