/* Shows a program a wall clock that is ahead of the machine's, or behind it. Its other clocks are the machine's.
 *
 * WALL_CLOCK names a file of one signed 64-bit number in the machine's order of bytes: the microseconds that the clock is
 * ahead. The program has it in memory, so a write to the file sets the clock at once. The times of files are the machine's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t *number;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*real_clockwait)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);

static void fail(const char *what) {
    fprintf(stderr, "wall_clock.so: %s\n", what);
    abort();
}

__attribute__((constructor)) static void begin(void) {
    if (number) return;
    real_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    /* The first version of this function, which a search by name can find, has another layout of conditions. */
    real_timedwait = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))
        dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real_timedwait)
        real_timedwait = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))
            dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    real_clockwait = (int (*)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *))
        dlsym(RTLD_NEXT, "pthread_cond_clockwait");
    if (!real_gettime || !real_timedwait || !real_clockwait) fail("a function of the C library is missing");
    const char *name = getenv("WALL_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *memory = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *number, PROT_READ, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) fail("WALL_CLOCK does not name a file that can be read");
    close(file);
    number = memory;
}

/* The microseconds that the clock is ahead. Another library may ask for the time before the constructor has run. */
static int64_t ahead(void) {
    if (!number) begin();
    return __atomic_load_n(number, __ATOMIC_RELAXED);
}

static void move(struct timespec *at, int64_t microseconds) {
    int64_t nanoseconds = at->tv_nsec + microseconds % 1000000 * 1000;
    at->tv_sec += microseconds / 1000000;
    if (nanoseconds < 0) at->tv_sec--, nanoseconds += 1000000000;
    if (nanoseconds >= 1000000000) at->tv_sec++, nanoseconds -= 1000000000;
    at->tv_nsec = nanoseconds;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int64_t offset = ahead();
    int result = real_gettime(clock, at);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) move(at, offset);
    return result;
}

int timespec_get(struct timespec *at, int base) {
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, at) ? base : 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    at->tv_sec = exact.tv_sec;
    at->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME_COARSE, &exact)) return -1;
    if (at) *at = exact.tv_sec;
    return exact.tv_sec;
}

/* The C library waits by the clock of the machine. As there, a wait has a clock of its own by bit 1 of `__wrefs`. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    int64_t offset = ahead();
    if (__atomic_load_n(&condition->__data.__wrefs, __ATOMIC_RELAXED) & 2) return real_timedwait(condition, mutex, until);
    struct timespec machine = *until;
    move(&machine, -offset);
    return real_timedwait(condition, mutex, &machine);
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until) {
    int64_t offset = ahead();
    if (clock != CLOCK_REALTIME) return real_clockwait(condition, mutex, clock, until);
    struct timespec machine = *until;
    move(&machine, -offset);
    return real_clockwait(condition, mutex, clock, &machine);
}
