/* selftest: what the generator can do when the server costs next to nothing. A measured server that comes near these
 * figures has not been measured: the generator has. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void pin(int cpu)
{
    if (cpu < 0)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fprintf(stderr, "wsload: cannot stay on core %d: %s\n", cpu, strerror(errno));
}

static int listen_on_loopback(int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) || listen(fd, 1024) ||
        getsockname(fd, (struct sockaddr *)&at, &size))
        return -1;
    *port = ntohs(at.sin_port);
    return fd;
}

static pid_t start_peer(const struct options *options, int listener)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_DFL);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    pin(options->server_cpu);
    peer_serve(listener);
}

int run_selftest(const struct options *options)
{
    static const char BODY[] = "{\"subjects\":[\"channel:bench\"],\"payload\":{\"n\":\"##########\","
                               "\"text\":\"A publication of about one hundred bytes, as chats send them.\"}}";
    static const char EVENT[] = "{\"type\":\"event\",\"payload\":{\"n\":\"##########\","
                                "\"text\":\"A publication of about one hundred bytes, as chats send them.\"}}";
    struct options each = *options;
    int listener = listen_on_loopback(&each.port);
    if (listener < 0) {
        perror("wsload: listen");
        return 1;
    }
    each.http_port = each.port;
    fflush(stdout);
    pid_t peer = start_peer(options, listener);
    close(listener);
    if (peer < 0) {
        perror("wsload: fork");
        return 1;
    }
    pin(options->client_cpu);
    int failed = 0;

    each.command = "selftest connect";
    each.connections = 4000;
    failed |= run_connect(&each);

    each.command = "selftest echo";
    each.connections = 100;
    each.expect = each.payload;
    for (each.depth = 1; each.depth <= 8; each.depth += 7)
        failed |= run_echo(&each);

    char large[200001];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    each.payload = each.expect = large;
    each.depth = 2;
    failed |= run_echo(&each); /* proves reading and writing in pieces */

    each.command = "selftest fanout";
    each.connections = 1000;
    each.body = BODY;
    each.expect = EVENT;
    each.publishers = 1;
    for (each.batch = 1; each.batch <= 100; each.batch *= 100)
        failed |= run_fanout(&each);

    kill(peer, SIGKILL);
    int status;
    if (waitpid(peer, &status, 0) == peer && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
        fprintf(stderr, "wsload: the server of the self-test died before its time\n");
        failed = 1;
    }
    return failed;
}
