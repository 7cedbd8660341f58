/* A store with real files: what is written comes together, what is wrong never counts, and nothing else is touched. */
#include "store-rig.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes in any order, in pieces of any order, twice over: the file is right, and stands under its name alone. */
static void any_order_comes_together(void **state)
{
    struct fixture *f = *state;
    uint64_t missing, done, total;
    int64_t room;

    assert_int_equal(open_again(f), STORE_OK);
    assert_false(store_complete(f->s));
    store_room(f->s, &missing, &room);
    assert_int_equal(missing, TOTAL);
    assert_true(room > 0);
    for (size_t k = 0; k < PIECES; k++) {
        size_t i = (k * 5 + 3) % PIECES, third = PIECE / 3;

        assert_int_equal(write_part(f, i, 2 * third, PIECE - 2 * third), STORE_OK);
        assert_int_equal(write_part(f, i, third / 2, 2 * third), STORE_OK);
        assert_int_equal(check(f, i), STORE_FAILED); /* some bytes are not there: nobody has lied */
        assert_int_equal(write_part(f, i, 0, third), STORE_OK);
        assert_int_equal(write_part(f, i, 1000, third), STORE_OK);
        assert_int_equal(check(f, i), STORE_OK);
        assert_int_equal(have(f), k + 1);
        assert_int_equal(land(f), k + 1 < PIECES ? STORE_FAILED : STORE_OK);
    }
    assert_true(store_complete(f->s));
    assert_string_equal(store_share(f->s)->path, path_of(f, "m.gguf"));
    assert_file(f, "m.gguf", f->data, TOTAL);
    assert_false(there(f, "m.gguf.part"));
    assert_false(there(f, "m.gguf.part.map"));
    assert_true(there(f, "m.gguf" MANIFEST_SUFFIX));
    assert_int_equal(open_again(f), STORE_OK); /* known to be right: nothing is hashed */
    store_progress(f->s, &done, &total);
    assert_int_equal(total, 0);
    assert_true(store_complete(f->s));
    assert_int_equal(have(f), PIECES);
}

static void many_calls_at_once_keep_their_order(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_again(f), STORE_OK);
    for (size_t i = 0; i < PIECES; i++) {
        for (size_t at = 0; at < PIECE; at += 8192) {
            size_t len = PIECE - at < 8192 ? PIECE - at : 8192;

            store_write(f->s, i, at, xmemdup(f->data + i * PIECE + at, len), len, NULL, NULL);
        }
        store_check(f->s, i, ended, f);
    }
    assert_int_equal(wait_for(f, PIECES), STORE_OK);
    assert_int_equal(have(f), PIECES);
    assert_int_equal(land(f), STORE_OK);
    assert_file(f, "m.gguf", f->data, TOTAL);
}

/* A liar's bytes are found out, and can't get in behind the hash: neither twice into a piece nor into one that is had.
 */
static void wrong_bytes_never_count(void **state)
{
    struct fixture *f = *state;
    unsigned char *lie = some_bytes(PIECE, 2);

    assert_int_equal(open_again(f), STORE_OK);
    assert_int_equal(write_bytes(f, 0, 0, lie, PIECE), STORE_OK);
    assert_int_equal(check(f, 0), STORE_CORRUPT);
    assert_non_null(strstr(f->why, "piece 0"));
    assert_int_equal(have(f), 0);
    fill(f, 0);
    assert_int_equal(write_bytes(f, 0, 0, lie, PIECE), STORE_OK);
    assert_int_equal(write_part(f, 1, 0, 5000), STORE_OK);
    assert_int_equal(write_bytes(f, 1, 0, lie, 5000), STORE_OK);
    assert_int_equal(write_part(f, 1, 5000, PIECE - 5000), STORE_OK);
    assert_int_equal(check(f, 1), STORE_OK);
    assert_int_equal(write_bytes(f, 2, 10, lie, 5000), STORE_OK);
    store_forget(f->s, 2);
    for (size_t i = 2; i < PIECES; i++)
        fill(f, i);
    assert_int_equal(write_bytes(f, 3, PIECE - 10, lie, 11), STORE_OK); /* it is had: not looked at */
    assert_int_equal(land(f), STORE_OK);
    assert_int_equal(write_bytes(f, 0, 0, lie, PIECE), STORE_OK); /* complete */
    assert_file(f, "m.gguf", f->data, TOTAL);
    free(lie);
}

/* A piece that the disk does not give back is written anew, and no part of its hash is left. */
static void what_cannot_be_read_is_written_anew(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_again(f), STORE_OK);
    assert_int_equal(write_part(f, 5, 1000, PIECE - 1000), STORE_OK);
    assert_int_equal(truncate(path_of(f, "m.gguf.part"), TOTAL - 10), 0); /* stands for a bad place of the disk */
    assert_int_equal(write_part(f, 5, 0, 1000), STORE_FAILED);
    assert_int_equal(check(f, 5), STORE_FAILED);
    assert_non_null(strstr(f->why, "could not be read"));
    fill(f, 5);
    assert_int_equal(write_part(f, 4, 1000, PIECE - 1000), STORE_OK);
    assert_int_equal(truncate(path_of(f, "m.gguf.part"), TOTAL - PIECE - 10), 0);
    assert_int_equal(write_part(f, 4, 0, 1000), STORE_FAILED);
    assert_int_equal(truncate(path_of(f, "m.gguf.part"), TOTAL), 0); /* read again, it is another one: but whole */
    assert_int_equal(check(f, 4), STORE_CORRUPT);
    fill(f, 4);
}

static void nothing_is_written_outside_a_piece(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_again(f), STORE_OK);
    assert_int_equal(write_bytes(f, 5, PIECE - 10, f->data, 11), STORE_FAILED);
    assert_int_equal(write_bytes(f, 5, UINT64_MAX, f->data, 11), STORE_FAILED);
    assert_int_equal(write_bytes(f, 5, PIECE, f->data, 1), STORE_FAILED);
}

static void set_map(struct fixture *f, const char *digits)
{
    FILE *file = fopen(path_of(f, "m.gguf.part.map"), "r+");
    char line[256];

    assert_non_null(file);
    for (int i = 0; i < 3; i++)
        assert_non_null(fgets(line, sizeof(line), file));
    fseek(file, 0, SEEK_CUR);
    fputs(digits, file);
    fclose(file);
}

/* The map is a hint: whether it knows too much, too little, nothing at all or is gone, what is on the disk counts. */
static void the_disk_counts_and_not_the_map(void **state)
{
    static const char *const maps[] = {"111111", "000000", "01x000", "", NULL};
    struct fixture *f = *state;
    unsigned char byte = 0;

    assert_int_equal(open_again(f), STORE_OK);
    fill(f, 1);
    fill(f, 4);
    assert_int_equal(write_part(f, 2, 0, PIECE / 2), STORE_OK); /* not all of it: gone with the process */
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        store_destroy(f->s);
        f->s = NULL;
        if (!maps[i])
            assert_int_equal(unlink(path_of(f, "m.gguf.part.map")), 0);
        else if (maps[i][0] == '\0')
            assert_int_equal(truncate(path_of(f, "m.gguf.part.map"), 20), 0);
        else
            set_map(f, maps[i]);
        assert_int_equal(open_again(f), STORE_OK);
        assert_int_equal(have(f), 2);
        assert_true(bits_has(&store_share(f->s)->have, 1) && bits_has(&store_share(f->s)->have, 4));
    }
    store_destroy(f->s);
    f->s = NULL;
    int fd = open(path_of(f, "m.gguf.part"), O_RDWR);
    assert_int_equal(store_io_read(fd, &byte, 1, 4 * PIECE + 7), 0);
    byte ^= 1;
    assert_int_equal(store_io_write(fd, &byte, 1, 4 * PIECE + 7), 0);
    close(fd);
    assert_int_equal(open_again(f), STORE_OK);
    assert_int_equal(have(f), 1);
    for (size_t i = 0; i < PIECES; i++) {
        if (!bits_has(&store_share(f->s)->have, i))
            fill(f, i);
    }
    assert_int_equal(land(f), STORE_OK);
    assert_file(f, "m.gguf", f->data, TOTAL);
}

static void only_one_works_on_it(void **state)
{
    struct fixture *f = *state;
    struct fixture second = {.base = f->base, .crew = f->crew};
    char pid[32];

    strcpy(second.dir, f->dir);
    assert_int_equal(open_again(f), STORE_OK);
    fill(f, 0);
    second.m = f->m;
    assert_int_equal(open_again(&second), STORE_FAILED);
    snprintf(pid, sizeof(pid), "process %d ", getpid());
    assert_non_null(strstr(second.why, pid));
    fill(f, 1);
    store_destroy(f->s);
    f->s = NULL;
    assert_int_equal(open_again(&second), STORE_OK);
    assert_int_equal(have(&second), 2);
    store_destroy(second.s);
}

/* Files of others stay as they are, whatever they are called. */
static void other_files_are_left_alone(void **state)
{
    struct fixture *f = *state;
    unsigned char *other = some_bytes(TOTAL, 3);

    put_file(f, "m.gguf", other, TOTAL);
    assert_int_equal(open_again(f), STORE_FAILED);
    assert_non_null(strstr(f->why, "m.gguf is there and is not this model"));
    assert_false(there(f, "m.gguf.part"));
    put_file(f, "m.gguf", other, 1000);
    assert_int_equal(open_again(f), STORE_FAILED);
    assert_file(f, "m.gguf", other, 1000);
    unlink(path_of(f, "m.gguf"));

    put_file(f, "m.gguf.part", other, TOTAL);
    assert_int_equal(open_again(f), STORE_FAILED);
    assert_non_null(strstr(f->why, "move it away"));
    assert_file(f, "m.gguf.part", other, TOTAL);
    put_file(f, "m.gguf.part", other, 1000);
    assert_int_equal(open_again(f), STORE_FAILED);
    assert_file(f, "m.gguf.part", other, 1000);
    assert_false(there(f, "m.gguf.part.map"));

    put_file(f, "else", other, TOTAL);
    assert_int_equal(unlink(path_of(f, "m.gguf.part")), 0);
    assert_int_equal(symlink("else", path_of(f, "m.gguf.part")), 0);
    assert_int_equal(open_again(f), STORE_FAILED);
    assert_non_null(strstr(f->why, "symbolic link"));
    unlink(path_of(f, "m.gguf.part"));
    char *name = xstrdup(path_of(f, "else"));
    assert_int_equal(link(name, path_of(f, "m.gguf.part")), 0);
    assert_int_equal(open_again(f), STORE_FAILED);
    assert_non_null(strstr(f->why, "another name"));
    unlink(path_of(f, "m.gguf.part"));
    assert_int_equal(mkfifo(path_of(f, "m.gguf.part"), 0600), 0);
    assert_int_equal(open_again(f), STORE_FAILED);
    unlink(path_of(f, "m.gguf.part"));
    assert_int_equal(symlink("nowhere", path_of(f, "m.gguf")), 0);
    assert_int_equal(open_again(f), STORE_FAILED);
    unlink(path_of(f, "m.gguf"));

    /* One that comes while the pieces do. */
    assert_int_equal(open_again(f), STORE_OK);
    for (size_t i = 0; i < PIECES; i++)
        fill(f, i);
    put_file(f, "m.gguf", other, 77);
    assert_int_equal(land(f), STORE_FAILED);
    assert_file(f, "m.gguf", other, 77);
    unlink(path_of(f, "m.gguf"));
    assert_int_equal(land(f), STORE_OK);
    assert_file(f, "m.gguf", f->data, TOTAL);
    assert_file(f, "else", other, TOTAL);
    free(name);
    free(other);
}

/* In a folder that others write to nothing leads out of it, and nothing is waited for: the model lands, its manifest is
 * kept in the cache. */
static void what_is_planted_for_a_manifest_is_left_alone(void **state)
{
    struct fixture *f = *state;
    static const char *const kinds[] = {"link", "dangling", "pipe", "folder"};

    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        char *beside = xstrdup(path_of(f, "m.gguf" MANIFEST_SUFFIX));

        put_file(f, "else", "mine", 4);
        unlink(path_of(f, "m.gguf"));
        remove(beside);
        assert_int_equal(open_again(f), STORE_OK);
        for (size_t i = 0; i < PIECES; i++)
            fill(f, i);
        if (k < 2)
            assert_int_equal(symlink(k == 0 ? "else" : "nowhere", beside), 0);
        else
            assert_int_equal(k == 2 ? mkfifo(beside, 0600) : mkdir(beside, 0700), 0);
        assert_int_equal(land(f), STORE_OK);
        assert_file(f, "else", "mine", 4);
        assert_false(there(f, "nowhere"));
        struct manifest *m = manifest_stored(path_of(f, "m.gguf")), *other;
        assert_string_equal(m->id, f->m->id);
        other = manifest_load_beside(path_of(f, "m.gguf"), NULL);
        assert_null(other);
        manifest_destroy(m);
        free(beside);
    }
}

/* A complete file without a manifest is hashed, through a link too; what a killed landing left goes. */
static void a_complete_file_is_success(void **state)
{
    struct fixture *f = *state;

    put_file(f, "elsewhere", f->data, TOTAL);
    assert_int_equal(symlink("elsewhere", path_of(f, "m.gguf")), 0);
    put_file(f, "m.gguf.part.map", "x", 1);
    assert_int_equal(open_again(f), STORE_OK);
    assert_true(store_complete(f->s));
    assert_int_equal(have(f), PIECES);
    assert_false(there(f, "m.gguf.part.map"));
    assert_int_equal(land(f), STORE_OK);
    store_destroy(f->s);
    f->s = NULL;
    unlink(path_of(f, "m.gguf"));
    unlink(path_of(f, "m.gguf" MANIFEST_SUFFIX));
    char *name = xstrdup(path_of(f, "elsewhere"));
    assert_int_equal(rename(name, path_of(f, "m.gguf")), 0);
    strcpy(name, path_of(f, "m.gguf"));
    free(name);
    name = xstrdup(path_of(f, "m.gguf"));
    assert_int_equal(link(name, path_of(f, "m.gguf.part")), 0); /* linked, and killed before the first name went */
    assert_int_equal(open_again(f), STORE_OK);
    assert_false(there(f, "m.gguf.part"));
    assert_file(f, "m.gguf", f->data, TOTAL);
    free(name);
}

/* Another version: its pieces are copied wherever they lie there, and only those that are what they should be. */
static void pieces_of_local_files_are_copied(void **state)
{
    struct fixture *f = *state;
    unsigned char *old = xmemdup(f->data, TOTAL);
    struct manifest *m;
    uint64_t found;

    memcpy(old, f->data + 3 * PIECE, PIECE); /* in another place */
    memset(old + PIECE, 7, PIECE);
    m = manifest_of(old, "old.gguf");
    old[5 * PIECE + 9] ^= 1; /* the disk has it wrong */
    put_file(f, "old.gguf", old, TOTAL);
    assert_int_equal(open_again(f), STORE_OK);
    assert_int_equal(write_part(f, 4, 0, 100), STORE_OK);
    store_take_local(f->s, m, path_of(f, "old.gguf"), &found, ended, f);
    assert_int_equal(found, 4 * PIECE); /* 2, 3, 4, 5 */
    assert_int_equal(wait_for(f, 1), STORE_OK);
    assert_int_equal(have(f), 2); /* 4 is on its way from elsewhere */
    assert_true(bits_has(&store_share(f->s)->have, 2) && bits_has(&store_share(f->s)->have, 3));
    store_take_local(f->s, m, path_of(f, "gone.gguf"), &found, ended, f);
    assert_int_equal(wait_for(f, 1), STORE_FAILED);
    assert_int_equal(write_part(f, 4, 100, PIECE - 100), STORE_OK);
    assert_int_equal(check(f, 4), STORE_OK);
    fill(f, 0);
    fill(f, 1);
    fill(f, 5);
    assert_int_equal(land(f), STORE_OK);
    assert_file(f, "m.gguf", f->data, TOTAL);
    manifest_destroy(m);
    free(old);
}

static void some_pieces_never_land(void **state)
{
    struct fixture *f = *state;
    struct bits want;
    struct stat st;
    uint64_t missing;
    int64_t room;

    bits_init(&want, PIECES);
    bits_set(&want, 0, true);
    bits_set(&want, 3, true);
    assert_int_equal(open_want(f, f->m, &want), STORE_OK);
    store_room(f->s, &missing, &room);
    assert_int_equal(missing, 2 * PIECE);
    fill(f, 0);
    fill(f, 3);
    store_room(f->s, &missing, &room);
    assert_int_equal(missing, 0);
    assert_int_equal(land(f), STORE_FAILED);
    for (size_t i = 4; i < PIECES; i++) /* begun, and given up with its process: no room is taken */
        assert_int_equal(write_part(f, i, 0, PIECE - 1), STORE_OK);
    assert_int_equal(open_want(f, f->m, &want), STORE_OK);
    assert_int_equal(stat(path_of(f, "m.gguf.part"), &st), 0);
    assert_int_equal(st.st_size, TOTAL);
    assert_true(st.st_blocks * 512 < 3 * PIECE); /* the rest is holes */
    bits_finish(&want);
}

/* A limit on the size of files stands for a full disk: an error of the same kind, without a file system of our own. */
static void a_full_disk_loses_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_again(f), STORE_OK);
    fill(f, 1);
    assert_int_equal(write_part(f, 2, 0, 1000), STORE_OK);
    limit_files(2 * PIECE + 2000);
    assert_int_equal(write_part(f, 2, 1000, PIECE - 1000), STORE_FULL);
    assert_non_null(strstr(f->why, "what has come is kept"));
    assert_int_equal(check(f, 2), STORE_FULL);
    assert_int_equal(write_part(f, 2, 1100, 500), STORE_OK); /* that fits, and fills no gap */
    assert_int_equal(check(f, 2), STORE_FULL);
    assert_int_equal(write_part(f, 4, 0, PIECE), STORE_FULL);
    assert_int_equal(check(f, 4), STORE_FULL);
    limit_files(RLIM_INFINITY);
    assert_int_equal(write_part(f, 2, 1000, PIECE - 1000), STORE_OK);
    assert_int_equal(check(f, 2), STORE_OK);
    fill(f, 4);
    assert_int_equal(have(f), 3);
    store_destroy(f->s);
    f->s = NULL;
    unlink(path_of(f, "m.gguf.part"));
    limit_files(PIECE);
    assert_int_equal(open_again(f), STORE_FAILED); /* it can never be: waiting is of no use */
    assert_non_null(strstr(f->why, "larger than is allowed"));
    limit_files(RLIM_INFINITY);
}

static void folders_are_made(void **state)
{
    struct fixture *f = *state;
    struct fixture deep = {.base = f->base, .crew = f->crew, .m = f->m};

    snprintf(deep.dir, sizeof(deep.dir), "%.60s/deep//er/", f->dir);
    assert_int_equal(open_again(&deep), STORE_OK);
    put_file(f, "no-folder", "", 0);
    snprintf(deep.dir, sizeof(deep.dir), "%.60s/no-folder", f->dir);
    assert_int_equal(open_again(&deep), STORE_FAILED);
    assert_non_null(strstr(deep.why, "no-folder: the folder can't be used"));
    store_destroy(deep.s);
}

static void dropped(void *arg, enum store_result result, const char *why)
{
    unsigned *n = arg;

    if (result == STORE_FAILED)
        ++*n;
}

static void destroyed_with_work_under_way(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0;

    assert_int_equal(open_again(f), STORE_OK);
    for (size_t i = 0; i < PIECES; i++) {
        store_write(f->s, i, 0, xmemdup(f->data + i * PIECE, PIECE), PIECE, dropped, &n);
        store_check(f->s, i, dropped, &n);
    }
    store_check(f->s, 0, dropped, &n);         /* waits behind the first job of its piece */
    assert_int_equal(open_again(f), STORE_OK); /* the lock is free */
    for (size_t i = 0; i < PIECES; i++) {
        if (!bits_has(&store_share(f->s)->have, i))
            fill(f, i);
    }
    assert_int_equal(land(f), STORE_OK);
    assert_int_equal(n, 2 * PIECES + 1); /* each was told once */
    assert_file(f, "m.gguf", f->data, TOTAL);
}

/* Whatever becomes of it: a complete file or a .part, never both or none, and the next start knows which. */
static void destroyed_while_it_lands(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_again(f), STORE_OK);
    for (size_t i = 0; i < PIECES; i++)
        fill(f, i);
    store_land(f->s, ended, f);
    store_destroy(f->s);
    f->s = NULL;
    while (crew_waiting(f->crew) > 0)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    assert_true(there(f, "m.gguf") != there(f, "m.gguf.part"));
    assert_int_equal(open_again(f), STORE_OK);
    assert_int_equal(have(f), PIECES);
    assert_int_equal(land(f), STORE_OK);
    assert_file(f, "m.gguf", f->data, TOTAL);
}

const struct CMUnitTest store_tests[] = {
    TEST(any_order_comes_together),
    TEST(many_calls_at_once_keep_their_order),
    TEST(wrong_bytes_never_count),
    TEST(what_cannot_be_read_is_written_anew),
    TEST(nothing_is_written_outside_a_piece),
    TEST(the_disk_counts_and_not_the_map),
    TEST(only_one_works_on_it),
    TEST(other_files_are_left_alone),
    TEST(what_is_planted_for_a_manifest_is_left_alone),
    TEST(a_complete_file_is_success),
    TEST(pieces_of_local_files_are_copied),
    TEST(some_pieces_never_land),
    TEST(a_full_disk_loses_nothing),
    TEST(folders_are_made),
    TEST(destroyed_with_work_under_way),
    TEST(destroyed_while_it_lands),
};
const size_t store_count = ARRAY_LEN(store_tests);
