/* A disk that is slow or full, for the files below some folders only; loaded with LD_PRELOAD by soak.py.
 *
 * SLOW_DISK_BELOW holds the folders, separated by colons. SLOW_DISK_CONTROL is a file that says, at any time:
 * "0" (as it is), "40" (every write takes 40 ms), or "full" (every write fails with ENOSPC).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int is_ours(int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    const char *below = getenv("SLOW_DISK_BELOW");
    if (length <= 0 || path[0] != '/' || below == NULL)
        return 0;
    path[length] = 0;
    while (*below) {
        size_t size = strcspn(below, ":");
        if (size && strncmp(path, below, size) == 0)
            return 1;
        below += size + (below[size] == ':');
    }
    return 0;
}

/* 0: go on; -1: the disk is full. */
static int weigh(int fd)
{
    static ssize_t (*real_read)(int, void *, size_t);
    char said[16] = "";
    int saved = errno;
    if (!is_ours(fd)) {
        errno = saved;
        return 0;
    }
    const char *control = getenv("SLOW_DISK_CONTROL");
    int file = control ? open(control, O_RDONLY | O_CLOEXEC) : -1;
    if (real_read == NULL)
        real_read = dlsym(RTLD_NEXT, "read");
    if (file >= 0) {
        if (real_read(file, said, sizeof said - 1) < 0)
            said[0] = 0;
        close(file);
    }
    errno = saved;
    if (strncmp(said, "full", 4) == 0) {
        errno = ENOSPC;
        return -1;
    }
    long ms = strtol(said, NULL, 10);
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
    if (ms > 0)
        nanosleep(&wait, NULL);
    return 0;
}

#define WRAPPED(name, parameters, arguments)                                                                           \
    ssize_t name parameters                                                                                            \
    {                                                                                                                  \
        static ssize_t(*real) parameters;                                                                              \
        if (real == NULL)                                                                                              \
            real = dlsym(RTLD_NEXT, #name);                                                                            \
        return weigh(fd) < 0 ? -1 : real arguments;                                                                    \
    }

WRAPPED(write, (int fd, const void *buffer, size_t size), (fd, buffer, size))
WRAPPED(pwrite, (int fd, const void *buffer, size_t size, off_t at), (fd, buffer, size, at))
WRAPPED(pwrite64, (int fd, const void *buffer, size_t size, off64_t at), (fd, buffer, size, at))
