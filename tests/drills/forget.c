/* A library to be preloaded: it notes what a program flushes, so that a drill can let a "machine" crash and forget the
 * rest. It changes nothing else.
 *
 * What is below FORGET_ROOT is watched. FORGET_KEPT gets what would survive a power cut on a file system with a journal,
 * as ext4 and xfs are: each flush also keeps all names and removals before it, but the content of no other file.
 *
 *   data/ID   the content of a file at its last fsync or fdatasync
 *   names     all files and directories at the last flush of anything: `ID PATH`, with `-` for a directory */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static FILE *names;

static void kept_path(char out[PATH_MAX], const char *name) {
    snprintf(out, PATH_MAX, "%s/%s", getenv("FORGET_KEPT"), name);
}

/* The number of a file that no other file ever gets: inodes are used again. */
static int identify(int fd, const char *name, char id[96]) {
    struct statx about;
    if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_INO | STATX_BTIME | STATX_TYPE, &about)) return -1;
    if (S_ISDIR(about.stx_mode)) return snprintf(id, 96, "-");
    if (!S_ISREG(about.stx_mode)) return -1;
    return snprintf(id, 96, "%llu-%lld-%u", (unsigned long long)about.stx_ino, (long long)about.stx_btime.tv_sec,
                    about.stx_btime.tv_nsec);
}

static int keep_name(const char *path, const struct stat *about, int kind, struct FTW *place) {
    char id[96];
    (void)about, (void)kind, (void)place;
    if (identify(AT_FDCWD, path, id) > 0) fprintf(names, "%s %s\n", id, path);
    return 0;
}

static void keep_names(const char *root) {
    char to[PATH_MAX], new[PATH_MAX];
    kept_path(to, "names");
    kept_path(new, "names.new");
    names = fopen(new, "we");
    if (!names) return;
    nftw(root, keep_name, 32, FTW_PHYS);
    fclose(names);
    rename(new, to);
}

static void keep_data(int fd, const char *id) {
    char link[64], name[128], to[PATH_MAX], new[PATH_MAX];
    off_t from = 0;
    int in = fd;
    snprintf(name, sizeof name, "data/%s", id);
    kept_path(to, name);
    kept_path(new, "data/new");
    /* A file is opened once more only if it must be: to close it ends all of SQLite's own locks on it. */
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        in = open(link, O_RDONLY | O_CLOEXEC);
    }
    int out = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (in >= 0 && out >= 0) {
        while (sendfile(out, in, &from, 1 << 24) > 0) {
        }
        rename(new, to);
    }
    if (in >= 0 && in != fd) close(in);
    if (out >= 0) close(out);
}

static void flushed(int fd) {
    const char *root = getenv("FORGET_ROOT");
    char link[64], path[PATH_MAX], lock[PATH_MAX], id[96];
    int before = errno;
    if (!root || !getenv("FORGET_KEPT")) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    if (strncmp(path, root, strlen(root)) || (path[strlen(root)] && path[strlen(root)] != '/')) return;
    kept_path(lock, "lock");
    int turn = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    flock(turn, LOCK_EX);
    if (identify(fd, "", id) > 1) keep_data(fd, id);
    keep_names(root);
    close(turn);
    errno = before;
}

#define WATCHED(NAME)                                                                                                  \
    int NAME(int fd) {                                                                                                 \
        int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, #NAME);                                                      \
        int result = real(fd);                                                                                         \
        if (!result) flushed(fd);                                                                                      \
        return result;                                                                                                 \
    }

WATCHED(fsync)
WATCHED(fdatasync)
