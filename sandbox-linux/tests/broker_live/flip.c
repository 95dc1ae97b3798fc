/* Two threads flip the bytes of paths between harmless and guarded names while the main one makes them, with every call that can.
   Arguments: seconds. Prints calls made, guarded names that appeared, calls that worked, and flips. Starts in a directory with top,
   tox and src/file. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char by_name[] = "top/Agit", by_parent[] = "tox/.git", by_cwd[] = "/proc/self/cwd/tox/.git";
static struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "top/Agit"};
static volatile int stop;
static volatile long flips;

static void *flip(void *unused) {
    volatile char *a = by_name, *b = by_parent, *c = by_cwd, *d = address.sun_path;
    while (!stop && flips < 200 * 1000 * 1000L) {
        a[4] = '.'; b[2] = 'p'; c[17] = 'p'; d[4] = '.';
        for (volatile int i = 0; i < 40; i++) {}
        a[4] = 'A'; b[2] = 'x'; c[17] = 'x'; d[4] = 'A';
        for (volatile int i = 0; i < 40; i++) {}
        flips++;
    }
    return unused;
}

static int act(int call, const char *path) {
    switch (call) {
    case 0: return open(path, O_CREAT | O_WRONLY, 0644);
    case 1: return open(path, O_CREAT | O_RDWR | O_EXCL, 0644);
    case 2: return mkdir(path, 0755);
    case 3: return symlink("t", path);
    case 4: return link("src/file", path);
    case 5: return mkfifo(path, 0644);
    case 6: return rename("src/file", path);
    case 7: return linkat(AT_FDCWD, "src/file", AT_FDCWD, path, AT_SYMLINK_FOLLOW);
    default: {
        int s = socket(AF_UNIX, SOCK_STREAM, 0), result = bind(s, (struct sockaddr *)&address, sizeof address);
        close(s);
        return result;
    }
    }
}

static void undo(void) {
    const char *names[] = {"top/Agit", "tox/.git", "top/.git"};
    for (int i = 0; i < 3; i++)
        if (unlink(names[i]) && errno == EISDIR) rmdir(names[i]);
    if (access("src/file", F_OK)) close(open("src/file", O_CREAT | O_WRONLY, 0644));
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    const char *paths[] = {by_name, by_parent, by_cwd};
    long made = 0, appeared = 0, worked = 0;
    pthread_t threads[2];
    struct timespec start, now;
    struct stat found;
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, flip, NULL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (int call = 0; call < 9; call++)
            for (int i = 0; i < 3; i++) {
                int result = act(call, paths[i]);
                made++;
                if (result >= 0) worked++;
                if (call < 2 && result >= 0) close(result);
                if (!lstat("top/.git", &found)) appeared++;
                undo();
            }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) + (now.tv_nsec - start.tv_nsec) / 1e9 < seconds);
    stop = 1;
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    printf("%ld %ld %ld %ld\n", made, appeared, worked, flips);
    return 0;
}
