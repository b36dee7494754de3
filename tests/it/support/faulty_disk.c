/* Makes calls on files of a database fail, as a bad disk does.
 *
 * FAULTY_DISK names a control file: "ERRNO EVERY" makes each EVERYth call fail. Without it, nothing fails. Each failed
 * call adds a byte to the file of that name with ".hits". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int fault(int fd) {
    static int calls;
    char text[64] = "", link[64], path[4096];
    const char *control = getenv("FAULTY_DISK");
    int before = errno, error = 0, every = 0, file;
    if (!control || (file = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC)) < 0) {
        errno = before;
        return 0;
    }
    syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (sscanf(text, "%d %d", &error, &every) != 2 || length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, "/faulty.db") || __sync_add_and_fetch(&calls, 1) % every) return 0;
    snprintf(path, sizeof path, "%s.hits", control);
    file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    syscall(SYS_write, file, ".", 1);
    syscall(SYS_close, file);
    return error;
}

#define FAULTY(type, name, parameters, arguments)                        \
    type name parameters {                                               \
        static type (*real) parameters;                                  \
        if (!real) real = (type (*) parameters)dlsym(RTLD_NEXT, #name);  \
        int error = fault(fd);                                           \
        if (error) {                                                     \
            errno = error;                                               \
            return -1;                                                   \
        }                                                                \
        return real arguments;                                           \
    }

FAULTY(ssize_t, read, (int fd, void *to, size_t count), (fd, to, count))
FAULTY(ssize_t, write, (int fd, const void *from, size_t count), (fd, from, count))
FAULTY(ssize_t, pread, (int fd, void *to, size_t count, off_t at), (fd, to, count, at))
FAULTY(ssize_t, pread64, (int fd, void *to, size_t count, off64_t at), (fd, to, count, at))
FAULTY(ssize_t, pwrite, (int fd, const void *from, size_t count, off_t at), (fd, from, count, at))
FAULTY(ssize_t, pwrite64, (int fd, const void *from, size_t count, off64_t at), (fd, from, count, at))
FAULTY(int, fsync, (int fd), (fd))
FAULTY(int, fdatasync, (int fd), (fd))
FAULTY(int, ftruncate, (int fd, off_t length), (fd, length))
FAULTY(int, ftruncate64, (int fd, off64_t length), (fd, length))
