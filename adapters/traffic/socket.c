/* Lets SUMO's program serve one client without opening a port, over a connection made by its parent.

   Preloaded into the program. SUMO listens for TraCI on every network interface and accepts the first client;
   here its listening socket is never bound, and accept() returns the descriptor named in the environment. The
   program also ends with the process that started it, however that process ends. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static int connection = -1;

__attribute__((constructor)) static void take_connection(void) {
    const char *descriptor = getenv("COSIM_SUMO_CONNECTION");
    if (descriptor != NULL) {
        connection = atoi(descriptor);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    unsetenv("LD_PRELOAD");
    unsetenv("COSIM_SUMO_CONNECTION");
}

static int is_of_network(int descriptor) {
    int domain = 0;
    socklen_t size = sizeof domain;
    return getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0
        && (domain == AF_INET || domain == AF_INET6);
}

int bind(int descriptor, const struct sockaddr *address, socklen_t size) {
    if (is_of_network(descriptor)) return 0;
    int (*next)(int, const struct sockaddr *, socklen_t);
    *(void **)&next = dlsym(RTLD_NEXT, "bind");
    return next(descriptor, address, size);
}

int listen(int descriptor, int backlog) {
    if (is_of_network(descriptor)) return 0;
    int (*next)(int, int);
    *(void **)&next = dlsym(RTLD_NEXT, "listen");
    return next(descriptor, backlog);
}

int accept(int descriptor, struct sockaddr *restrict address, socklen_t *restrict size) {
    if (is_of_network(descriptor)) {
        int accepted = connection;
        connection = -1;
        if (accepted < 0) errno = EINVAL;
        return accepted;
    }
    int (*next)(int, struct sockaddr *, socklen_t *);
    *(void **)&next = dlsym(RTLD_NEXT, "accept");
    return next(descriptor, address, size);
}
