/* storm: clients that nobody wants, of seven kinds and all at once, at stated rates. They judge nothing: how others fare
 * meanwhile is measured by others. Whoever is gone comes again, until the time is over or standard input ends. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { GARBAGE, HALF, DRIP, BAD_TOKEN, FLOOD, TORRENT, READER, KINDS };

/* One kind: at most `held` at once, at most `births` new ones a second, and how long one of them waits between two
 * acts. `patience`: seconds after which it leaves by itself; 0: the server has to make it. */
static const struct plan {
    const char *name;
    int held;
    double births, pause, patience;
} PLANS[KINDS] = {
    [GARBAGE] = {"garbage", 100, 50, 0, 2},               /* up to 4 KB of something else than HTTP */
    [HALF] = {"half handshakes", 300, 150, 0, 0},         /* half a head, and then nothing */
    [DRIP] = {"slow heads", 100, 50, 0.25, 0},            /* a head, byte by byte */
    [BAD_TOKEN] = {"bad tokens", 100, 100, 0, 0},         /* a handshake that has to be judged and refused */
    [FLOOD] = {"floods", 10, 10, 0.05, 0},                /* 2,000 messages a second */
    [TORRENT] = {"torrents", 4, 2, 0.01, 0},              /* all that the socket takes, until it is cut */
    [READER] = {"one-byte readers", 50, 50, 1, 0},        /* hears everything, reads a byte a second */
};

enum { BURST = 100, SMALL_BUFFER = 4096, GARBAGE_MAX = 4096, TURN_MS = 2 };

static const char MESSAGE[] = "{\"type\":\"storm\",\"text\":\"One of very many messages.\"}";

struct attacker {
    struct source source;
    enum kind kind;
    int fd; /* -1: a free place */
    bool connected, in;
    uint64_t leaves, acts; /* when; 0: never */
    const char *request;
    size_t request_left;
    uint32_t at; /* flood: place within the burst */
};

struct storm {
    struct source input;
    bool ended;
    struct attacker *attackers[KINDS];
    uint64_t next[KINDS], begun[KINDS], sent_away[KINDS];
    uint32_t random;
    char **bad;
    int bad_count;
    uint8_t *burst;
    size_t burst_size;
};

static uint32_t next_random(struct storm *storm)
{
    uint32_t x = storm->random; /* xorshift: the same storm each time */
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return storm->random = x;
}

static void part(struct storm *storm, struct attacker *attacker, bool by_server)
{
    close(attacker->fd);
    attacker->fd = -1;
    storm->sent_away[attacker->kind] += by_server;
}

static void say(struct storm *storm, struct attacker *attacker, const void *bytes, size_t size)
{
    if (send(attacker->fd, bytes, size, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        part(storm, attacker, true);
}

static void say_garbage(struct storm *storm, struct attacker *attacker)
{
    static const char *const BEGINNINGS[] = {
        "", "\x16\x03\x01\x02", "GET /ws HTTP/1.1\r\nHost: a\x01\r\n", "PRI * HTTP/2.0\r\n\r\n", "SSH-2.0-x\r\n",
    };
    uint8_t bytes[GARBAGE_MAX];
    size_t size = 1 + next_random(storm) % GARBAGE_MAX;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)next_random(storm);
    const char *beginning = BEGINNINGS[storm->begun[GARBAGE] % (sizeof BEGINNINGS / sizeof *BEGINNINGS)];
    size_t length = strlen(beginning);
    memcpy(bytes, beginning, length < size ? length : size);
    say(storm, attacker, bytes, size);
}

/* The connection stands: what it begins with. All of it fits into an empty socket. */
static void begin(struct load *load, struct storm *storm, struct attacker *attacker)
{
    attacker->connected = true;
    watch(load, attacker->fd, &attacker->source, false, false);
    switch (attacker->kind) {
    case GARBAGE: say_garbage(storm, attacker); break;
    case HALF: say(storm, attacker, attacker->request, attacker->request_left / 2); break;
    case DRIP: attacker->acts = load->now; break;
    default: say(storm, attacker, attacker->request, attacker->request_left);
    }
}

static void act(struct storm *storm, struct attacker *attacker)
{
    uint8_t byte;
    ssize_t done;
    size_t left;
    switch (attacker->kind) {
    case DRIP:
        say(storm, attacker, attacker->request++, 1);
        if (!--attacker->request_left)
            part(storm, attacker, false); /* slower than every deadline: nobody gets here */
        break;
    case FLOOD:
    case TORRENT:
        do {
            left = storm->burst_size - attacker->at;
            done = send(attacker->fd, storm->burst + attacker->at, left, MSG_NOSIGNAL);
            if (done > 0) /* what it leaves is the rest of a frame: the next burst begins there */
                attacker->at = (uint32_t)((attacker->at + (size_t)done) % storm->burst_size);
        } while (attacker->kind == TORRENT && done == (ssize_t)left);
        break;
    case READER:
        done = recv(attacker->fd, &byte, 1, 0);
        if (!done || (done < 0 && errno != EAGAIN))
            part(storm, attacker, true);
        break;
    default: break;
    }
}

static void attacker_ready(struct load *load, struct source *source, uint32_t events)
{
    struct attacker *attacker = (struct attacker *)source;
    struct storm *storm = load->command;
    if (attacker->fd < 0)
        return; /* its event was fetched before it went */
    if (!attacker->connected) {
        int why = 0;
        socklen_t size = sizeof why;
        getsockopt(attacker->fd, SOL_SOCKET, SO_ERROR, &why, &size);
        if (why) {
            load_fault(load, FAULT_CONNECT, "%s: %s", PLANS[attacker->kind].name, strerror(why));
            part(storm, attacker, true);
        } else if (events & EPOLLOUT) {
            begin(load, storm, attacker);
        }
        return;
    }
    if (attacker->kind == READER && !(events & (EPOLLHUP | EPOLLERR))) {
        /* Let in: from now on it looks only when it reads. */
        struct epoll_event deaf = {.events = 0, .data.ptr = source};
        epoll_ctl(load->epoll, EPOLL_CTL_MOD, attacker->fd, &deaf);
        attacker->acts = load->now;
        return;
    }
    uint8_t bytes[16 * 1024];
    ssize_t size = recv(attacker->fd, bytes, sizeof bytes, 0);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        part(storm, attacker, true);
    } else if ((attacker->kind == FLOOD || attacker->kind == TORRENT) && !attacker->in) {
        attacker->in = true;
        attacker->acts = load->now;
    }
}

static void bear(struct load *load, struct storm *storm, enum kind kind, struct attacker *attacker)
{
    const struct plan *plan = &PLANS[kind];
    int fd = loopback_connect(load->options->port, kind == READER ? SMALL_BUFFER : 0);
    if (fd < 0) {
        load_fault(load, FAULT_CONNECT, "%s: %s", plan->name, strerror(errno));
        return;
    }
    uint64_t number = storm->begun[kind]++;
    const char *request = kind == BAD_TOKEN ? storm->bad[number % (uint64_t)storm->bad_count]
                                            : load->requests[number % (uint64_t)load->request_count];
    *attacker = (struct attacker){
        .source.ready = attacker_ready,
        .kind = kind,
        .fd = fd,
        .leaves = plan->patience > 0 ? after_seconds(load->now, plan->patience) : 0,
        .request = request,
        .request_left = strlen(request),
    };
    watch(load, fd, &attacker->source, true, true);
}

/* Everybody whose time has come. Returns whether all places have been taken once. */
static bool move_on(struct load *load, struct storm *storm)
{
    bool complete = true;
    for (int kind = 0; kind < KINDS; kind++) {
        const struct plan *plan = &PLANS[kind];
        complete = complete && storm->begun[kind] >= (uint64_t)plan->held;
        for (int i = 0; i < plan->held; i++) {
            struct attacker *attacker = &storm->attackers[kind][i];
            if (attacker->fd < 0 && load->now >= storm->next[kind]) {
                storm->next[kind] = after_seconds(storm->next[kind] ? storm->next[kind] : load->now, 1 / plan->births);
                bear(load, storm, kind, attacker);
            }
            if (attacker->fd >= 0 && attacker->leaves && load->now >= attacker->leaves)
                part(storm, attacker, false);
            if (attacker->fd >= 0 && attacker->acts && load->now >= attacker->acts) {
                /* Not in step with the others, the pause is right on average. */
                attacker->acts = after_seconds(load->now, plan->pause * (1 + next_random(storm) % 1000 / 1000.0) * 2 / 3);
                act(storm, attacker);
            }
        }
        /* Who finds no place is not made up for later. */
        if (storm->next[kind] < load->now)
            storm->next[kind] = load->now;
    }
    return complete;
}

static void input(struct load *load, struct source *source, uint32_t events)
{
    char bytes[256];
    (void)events;
    (void)load;
    if (read(STDIN_FILENO, bytes, sizeof bytes) <= 0)
        ((struct storm *)source)->ended = true;
}

static void storm_begin(struct load *load, struct storm *storm, const struct options *options)
{
    storm->input.ready = input;
    storm->random = 0x2545f491u;
    storm->bad = handshakes(load, options->bad_tokens, &storm->bad_count);
    storm->burst = need(malloc(BURST * (sizeof MESSAGE + CLIENT_HEAD_MAX)));
    for (int i = 0; i < BURST; i++)
        storm->burst_size += client_frame(storm->burst + storm->burst_size, OP_TEXT, MESSAGE, sizeof MESSAGE - 1,
                                          next_random(storm));
    for (int kind = 0; kind < KINDS; kind++) {
        storm->attackers[kind] = need(calloc((size_t)PLANS[kind].held, sizeof *storm->attackers[kind]));
        for (int i = 0; i < PLANS[kind].held; i++)
            storm->attackers[kind][i].fd = -1;
    }
    /* A closed or absent standard input ends nothing, the time does. */
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &storm->input};
    epoll_ctl(load->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
}

static void storm_end(struct storm *storm)
{
    for (int kind = 0; kind < KINDS; kind++) {
        for (int i = 0; i < PLANS[kind].held; i++)
            if (storm->attackers[kind][i].fd >= 0)
                part(storm, &storm->attackers[kind][i], false);
        free(storm->attackers[kind]);
    }
    for (int i = 0; i < storm->bad_count; i++)
        free(storm->bad[i]);
    free(storm->bad);
    free(storm->burst);
}

int run_storm(const struct options *options)
{
    struct load load;
    struct storm storm = {0};
    load_begin(&load, options);
    load.command = &storm;
    storm_begin(&load, &storm, options);
    load_mark(&load);
    uint64_t from = now_ns(), until = after_seconds(from, options->seconds);
    bool raging = false;
    while ((load.now = now_ns()) < until && !storm.ended && !load_failed(&load)) {
        if (move_on(&load, &storm) && !raging) {
            raging = true;
            puts("{\"raging\": true}");
            fflush(stdout);
        }
        load_turn(&load, load.now + TURN_MS * 1000000u);
    }
    double seconds = (double)(now_ns() - from) / 1e9, busy = load_busy(&load);
    storm_end(&storm);
    printf("{\"command\": \"%s\", \"seconds\": %.1f, \"generator_busy\": %.2f, \"kinds\": {", options->command, seconds,
           busy);
    for (int kind = 0; kind < KINDS; kind++)
        printf("%s\"%s\": {\"begun\": %llu, \"sent_away\": %llu}", kind ? ", " : "", PLANS[kind].name,
               (unsigned long long)storm.begun[kind], (unsigned long long)storm.sent_away[kind]);
    putchar('}');
    return load_end(&load);
}
