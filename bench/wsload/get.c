/* get: how many GET requests a second are answered with 200, one at a time on each kept connection. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 16 * 1024 };

struct getter {
    struct source source;
    struct get *get;
    int fd;
    bool waiting;
    uint64_t since;
    size_t size;
    char answer[ANSWER_MAX + 1];
};

struct get {
    struct histogram times;
    struct getter *getters;
    char request[2048];
    size_t size;
    bool asking, counting;
    uint64_t counted, in_flight;
};

static void fail(struct load *load, struct getter *getter, const char *why)
{
    load_fault(load, FAULT_HTTP, "GET: %.150s", why);
    close(getter->fd);
    getter->fd = -1;
}

/* A request is small enough for an idle socket; one that is not taken whole is an error. */
static void ask(struct load *load, struct getter *getter)
{
    struct get *get = getter->get;
    getter->since = now_ns();
    getter->size = 0;
    getter->waiting = true;
    get->in_flight++;
    if (send(getter->fd, get->request, get->size, MSG_NOSIGNAL) != (ssize_t)get->size)
        fail(load, getter, "the request could not be sent");
}

static void getter_ready(struct load *load, struct source *source, uint32_t events)
{
    struct getter *getter = (struct getter *)source;
    struct get *get = getter->get;
    if (getter->fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t size = recv(getter->fd, getter->answer + getter->size, ANSWER_MAX - getter->size, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0 || !getter->waiting) {
        fail(load, getter, size < 0 ? strerror(errno) : size == 0 ? "cut by the server" : "an answer without a request");
        return;
    }
    getter->size += (size_t)size;
    getter->answer[getter->size] = 0;
    if (!answer_body(getter->answer, getter->size))
        return;
    if (strncmp(getter->answer, "HTTP/1.1 200", 12)) {
        getter->answer[strcspn(getter->answer, "\r\n")] = 0;
        fail(load, getter, getter->answer);
        return;
    }
    getter->waiting = false;
    get->in_flight--;
    if (get->counting) {
        get->counted++;
        histogram_add(&get->times, now_ns() - getter->since);
    }
    if (get->asking)
        ask(load, getter);
}

/* A connected socket, made while nothing else is to be done. */
static int connected(struct load *load)
{
    int fd = loopback_connect(load->options->port, 0);
    struct timeval wait = {.tv_usec = 1000};
    for (int tries = 0; fd >= 0 && tries < 5000; tries++) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        if (!getpeername(fd, (struct sockaddr *)&peer, &size))
            return fd;
        struct timeval once = wait;
        select(0, NULL, NULL, NULL, &once);
    }
    load_fault(load, FAULT_CONNECT, "GET: %s", fd < 0 ? strerror(errno) : "no connection within 5 s");
    if (fd >= 0)
        close(fd);
    return -1;
}

static void turn_until(struct load *load, uint64_t until)
{
    while (now_ns() < until && !load_failed(load))
        load_turn(load, until);
}

int run_get(const struct options *options)
{
    struct load load;
    struct get *get = need(calloc(1, sizeof *get));
    load_begin(&load, options);
    get->size = (size_t)snprintf(get->request, sizeof get->request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
                                 options->path, options->port);
    get->getters = need(calloc((size_t)options->connections, sizeof *get->getters));
    for (int i = 0; i < options->connections; i++) {
        struct getter *getter = &get->getters[i];
        getter->source.ready = getter_ready;
        getter->get = get;
        getter->fd = load_failed(&load) ? -1 : connected(&load);
        if (getter->fd >= 0)
            watch(&load, getter->fd, &getter->source, false, true);
    }
    get->asking = true;
    for (int i = 0; i < options->connections && !load_failed(&load); i++)
        ask(&load, &get->getters[i]);
    turn_until(&load, after_seconds(now_ns(), options->warmup));
    get->counting = true;
    load_mark(&load);
    uint64_t from = now_ns();
    turn_until(&load, after_seconds(from, options->seconds));
    double rate = (double)get->counted / ((double)(now_ns() - from) / 1e9), busy = load_busy(&load);
    get->counting = get->asking = false;
    uint64_t deadline = after_seconds(now_ns(), DRAIN_SECONDS);
    while (get->in_flight && !load_failed(&load) && now_ns() < deadline)
        load_turn(&load, deadline);
    if (get->in_flight)
        load_fault(&load, FAULT_LOST, "%llu answers did not come", (unsigned long long)get->in_flight);
    for (int i = 0; i < options->connections; i++)
        if (get->getters[i].fd >= 0)
            close(get->getters[i].fd);
    printf("{\"command\": \"%s\", \"connections\": %d, \"answers\": %llu, \"rate\": %.1f, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"generator_busy\": %.2f",
           options->command, options->connections, (unsigned long long)get->counted, rate,
           histogram_ms(&get->times, 0.5), histogram_ms(&get->times, 0.99), busy);
    free(get->getters);
    free(get);
    return load_end(&load);
}
