/* Threads flip the bytes of paths, and the target of a link, between an open and a closed file, while the main one opens and reads
   them, for so many seconds, and on until there were enough of both. Arguments: seconds. Starts in a directory with ok.txt, no.env and d/no.env. Prints attempts, open reads and closed reads. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char by_name[] = "./ok.txt", by_parent[] = "d/ok.txt", by_cwd[] = "/proc/self/cwd/ok.txt";
/* What the test asks for, and seconds after which it is given up. */
enum { ATTEMPTS = 1001, OPENED = 101, AT_MOST = 60 };

static volatile int stop;

static void put(volatile char *at, const char *name) {
    for (int i = 0; i < 6; i++) at[i] = name[i];
}

static void *flip(void *unused) {
    while (!stop) {
        put(by_name + 2, "no.env"); put(by_parent + 2, "no.env"); put(by_cwd + 15, "no.env");
        for (volatile int i = 0; i < 60; i++) {}
        put(by_name + 2, "ok.txt"); put(by_parent + 2, "ok.txt"); put(by_cwd + 15, "ok.txt");
        for (volatile int i = 0; i < 60; i++) {}
    }
    return unused;
}

static void *relink(void *unused) {
    while (!stop) {
        unlink("next"); symlink("ok.txt", "next"); rename("next", "link");
        unlink("next"); symlink("no.env", "next"); rename("next", "link");
    }
    return unused;
}

static void *move(void *unused) {
    while (!stop) {
        rename("no.env", "gone.txt"); rename("gone.txt", "no.env");
        link("no.env", "hard"); unlink("hard");
    }
    return unused;
}

int main(int argc, char **argv) {
    const char *paths[] = {by_name, by_parent, by_cwd, "link", "gone.txt", "hard"};
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    pthread_t threads[4];
    pthread_create(&threads[0], NULL, flip, NULL);
    pthread_create(&threads[1], NULL, flip, NULL);
    pthread_create(&threads[2], NULL, relink, NULL);
    pthread_create(&threads[3], NULL, move, NULL);
    struct timespec from, now;
    clock_gettime(CLOCK_MONOTONIC, &from);
    long attempts = 0, opened = 0, leaked = 0;
    double passed;
    do {
        int which = attempts++ % 6, makes = which < 4 && attempts % 5 == 0;
        const char *path = paths[which];
        int fd = !makes ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY) : open(path, O_RDWR | O_CREAT, 0644);
        if (fd >= 0) {
            char text[8] = {0};
            ssize_t got = read(fd, text, 6);
            if (got == 6) !memcmp(text, "closed", 6) ? leaked++ : opened++;
            close(fd);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        passed = now.tv_sec - from.tv_sec + (now.tv_nsec - from.tv_nsec) / 1e9;
    } while (passed < seconds || ((attempts < ATTEMPTS || opened < OPENED) && passed < AT_MOST));
    stop = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    printf("%ld %ld %ld\n", attempts, opened, leaked);
    return 0;
}
