/* hooks: how many messages a second come out as webhooks. Each connection keeps `depth` messages in flight; this is also
 * the backend, which answers each webhook after a delay. The next message leaves when a webhook arrives. The
 * users of the tokens are `bench-0`, `bench-1`, .. in the order of the file, so a webhook names its connection, and
 * its `seq` must be the next one of that connection. Without connections it only receives, until standard input
 * ends. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MAX = 16 * 1024, CALLERS = 1024, ANSWERS = 4096 };

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct hooks;

/* One connection of whoever posts. One request at a time, as HTTP/1.1 clients do. */
struct caller {
    struct source source;
    struct hooks *hooks;
    int fd;
    size_t size;
    char request[REQUEST_MAX + 1];
};

struct hooks {
    struct source accepting, input;
    int listener;
    struct histogram times;
    struct caller *callers[CALLERS];
    struct {
        struct caller *to;
        uint64_t due;
    } answers[ANSWERS]; /* a ring: all wait equally long */
    uint64_t first, last;
    uint64_t requests, counted, in_flight, disconnected;
    bool sending, counting, ended;
};

static void caller_gone(struct hooks *hooks, struct caller *caller)
{
    for (uint64_t i = hooks->first; i < hooks->last; i++)
        if (hooks->answers[i % ANSWERS].to == caller)
            hooks->answers[i % ANSWERS].to = NULL;
    for (int i = 0; i < CALLERS; i++)
        if (hooks->callers[i] == caller)
            hooks->callers[i] = NULL;
    close(caller->fd);
    free(caller);
}

static void send_message(struct load *load, struct conn *conn)
{
    struct hooks *hooks = load->command;
    uint32_t depth = (uint32_t)load->options->depth;
    conn->sent[conn->sent_first] = load->now;
    conn->sent_first = (conn->sent_first + 1) % depth;
    hooks->in_flight++;
    load_send(load, conn, 1);
}

static void message_came(struct load *load, struct hooks *hooks, const char *body)
{
    const char *user = strstr(body, "\"user_id\":\"bench-"), *seq = strstr(body, "\"seq\":");
    unsigned long number = user ? strtoul(user + 17, NULL, 10) : (unsigned long)load->options->connections;
    if (number >= (unsigned long)load->options->connections || !seq) {
        load_fault(load, FAULT_MISMATCH, "not an event of ours: %.150s", body);
        return;
    }
    struct conn *conn = &load->conns[number];
    if (strtoul(seq + 6, NULL, 10) != ++conn->answered) {
        load_fault(load, FAULT_ORDER, "connection %lu: %.20s came as message %u", number, seq, conn->answered);
        return;
    }
    hooks->in_flight--;
    if (hooks->counting) {
        hooks->counted++;
        /* The oldest of them: the ring is full while all are in flight. */
        uint32_t depth = (uint32_t)load->options->depth;
        histogram_add(&hooks->times, load->now - conn->sent[(conn->answered - 1) % depth]);
    }
    if (hooks->sending)
        send_message(load, conn);
}

static void request_came(struct load *load, struct hooks *hooks, struct caller *caller, const char *body)
{
    hooks->requests++;
    if (hooks->last - hooks->first == ANSWERS) {
        load_fault(load, FAULT_HTTP, "more than %d webhooks wait for their answers", ANSWERS);
        return;
    }
    hooks->answers[hooks->last % ANSWERS].to = caller;
    hooks->answers[hooks->last++ % ANSWERS].due = after_seconds(load->now, load->options->delay);
    if (!load->options->connections)
        return;
    if (strstr(body, "\"type\":\"message_received\""))
        message_came(load, hooks, body);
    else if (strstr(body, "\"type\":\"disconnected\""))
        hooks->disconnected++;
}

static void caller_ready(struct load *load, struct source *source, uint32_t events)
{
    (void)events;
    struct caller *caller = (struct caller *)source;
    struct hooks *hooks = caller->hooks;
    ssize_t size = recv(caller->fd, caller->request + caller->size, REQUEST_MAX - caller->size, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0) {
        if (caller->size == REQUEST_MAX)
            load_fault(load, FAULT_HTTP, "a webhook over %d bytes", REQUEST_MAX);
        caller_gone(hooks, caller);
        return;
    }
    load->now = now_ns();
    caller->size += (size_t)size;
    caller->request[caller->size] = 0;
    char *end = strstr(caller->request, "\r\n\r\n");
    char *length = strcasestr(caller->request, "\r\ncontent-length:");
    if (!end || !length || length > end || caller->request + caller->size < end + 4 + atol(length + 17))
        return;
    caller->size = 0;
    request_came(load, hooks, caller, end + 4);
}

static void accept_caller(struct load *load, struct source *source, uint32_t events)
{
    (void)events;
    struct hooks *hooks = (struct hooks *)source; /* its first member */
    int place = 0, fd = accept4(hooks->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0)
        return;
    while (place < CALLERS && hooks->callers[place])
        place++;
    if (place == CALLERS) {
        load_fault(load, FAULT_HTTP, "more than %d connections bring webhooks", CALLERS);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct caller *caller = hooks->callers[place] = need(calloc(1, sizeof *caller));
    caller->source.ready = caller_ready;
    caller->hooks = hooks;
    caller->fd = fd;
    watch(load, fd, &caller->source, false, true);
}

static void input(struct load *load, struct source *source, uint32_t events)
{
    (void)load;
    (void)events;
    char bytes[256];
    struct hooks *hooks = (struct hooks *)((char *)source - offsetof(struct hooks, input));
    if (read(STDIN_FILENO, bytes, sizeof bytes) <= 0)
        hooks->ended = true;
}

/* Answer what is due. Returns when the next answer is, or `until`. */
static uint64_t answer_due(struct load *load, struct hooks *hooks, uint64_t until)
{
    while (hooks->first < hooks->last) {
        struct caller *caller = hooks->answers[hooks->first % ANSWERS].to;
        uint64_t due = hooks->answers[hooks->first % ANSWERS].due;
        if (due > now_ns())
            return due < until ? due : until;
        hooks->first++;
        if (caller && send(caller->fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) != (ssize_t)sizeof ANSWER - 1)
            load_fault(load, FAULT_HTTP, "an answer could not be sent: %s", strerror(errno));
    }
    return until;
}

static void turn_until(struct load *load, uint64_t until, const uint64_t *left, uint64_t least)
{
    struct hooks *hooks = load->command;
    while (now_ns() < until && !load_failed(load) && !hooks->ended && !(left && *left == least))
        load_turn(load, answer_due(load, hooks, until));
    answer_due(load, hooks, until);
}

static void listen_for_hooks(struct load *load, struct hooks *hooks)
{
    int on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load->options->hook_port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    hooks->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(hooks->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (hooks->listener < 0 || bind(hooks->listener, (struct sockaddr *)&at, sizeof at) ||
        listen(hooks->listener, CALLERS)) {
        load_fault(load, FAULT_SYSTEM, "cannot listen on port %d: %s", load->options->hook_port, strerror(errno));
        return;
    }
    hooks->accepting.ready = accept_caller;
    watch(load, hooks->listener, &hooks->accepting, false, true);
}

/* Measure between the opening of the connections and their end. */
static void drive(struct load *load, struct hooks *hooks, double *rate, double *busy)
{
    const struct options *options = load->options;
    hooks->sending = true;
    load->now = now_ns();
    for (int i = 0; i < options->connections; i++)
        for (int depth = 0; depth < options->depth; depth++)
            send_message(load, &load->conns[i]);
    turn_until(load, after_seconds(now_ns(), options->warmup), NULL, 0);
    hooks->counting = true;
    load_mark(load);
    uint64_t from = now_ns();
    turn_until(load, after_seconds(from, options->seconds), NULL, 0);
    *rate = (double)hooks->counted / ((double)(now_ns() - from) / 1e9);
    *busy = load_busy(load);
    hooks->counting = hooks->sending = false;
    turn_until(load, after_seconds(now_ns(), DRAIN_SECONDS), &hooks->in_flight, 0);
    if (hooks->in_flight)
        load_fault(load, FAULT_LOST, "%llu messages never came as webhooks", (unsigned long long)hooks->in_flight);
    turn_until(load, after_seconds(now_ns(), DRAIN_SECONDS), &hooks->first, hooks->last); /* all are answered */
    load_close(load);
    turn_until(load, after_seconds(now_ns(), DRAIN_SECONDS), &hooks->disconnected, (uint64_t)options->connections);
    if (hooks->disconnected != (uint64_t)options->connections)
        load_fault(load, FAULT_LOST, "%d connections ended, %llu webhooks said so", options->connections,
                   (unsigned long long)hooks->disconnected);
    turn_until(load, after_seconds(now_ns(), options->delay + 0.05), NULL, 0);
}

int run_hooks(const struct options *options)
{
    struct load load;
    struct hooks *hooks = need(calloc(1, sizeof *hooks));
    double rate = 0, busy = 0;
    load_begin(&load, options);
    load.command = hooks;
    size_t length = strlen(options->payload);
    uint8_t *frame = need(malloc(length + CLIENT_HEAD_MAX));
    load.frame_size = (uint32_t)client_frame(frame, OP_TEXT, options->payload, length, 0x5ac3f01eu);
    load.frame = frame;
    load.frame_copies = 1;
    for (int i = 0; i < options->connections; i++)
        load.conns[i].sent = need(calloc((size_t)options->depth, sizeof *load.conns[i].sent));
    listen_for_hooks(&load, hooks);
    if (!options->connections) {
        printf("{\"listening\": %d}\n", options->hook_port);
        fflush(stdout);
        hooks->input.ready = input;
        watch(&load, STDIN_FILENO, &hooks->input, false, true);
        turn_until(&load, after_seconds(now_ns(), options->seconds), NULL, 0);
    } else if (load_open(&load)) {
        drive(&load, hooks, &rate, &busy);
    }
    printf("{\"command\": \"%s\", \"connections\": %d, \"depth\": %d, \"delay_ms\": %.1f, \"webhooks\": %llu, "
           "\"rate\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"generator_busy\": %.2f",
           options->command, options->connections, options->depth, options->delay * 1e3,
           (unsigned long long)hooks->requests, rate, histogram_ms(&hooks->times, 0.5),
           histogram_ms(&hooks->times, 0.99), busy);
    for (int i = 0; i < CALLERS; i++)
        if (hooks->callers[i])
            caller_gone(hooks, hooks->callers[i]);
    if (hooks->listener >= 0)
        close(hooks->listener);
    free(frame);
    free(hooks);
    return load_end(&load);
}
