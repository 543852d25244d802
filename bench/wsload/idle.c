/* idle: hold connections, answer pings, and notice every connection that does not stay. Ends with standard input.
 * With a rate, so many a second leave properly, one after the other, and come again a little later. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { AWAY = 20 }; /* so many are away at a time */

struct idle {
    struct source source;
    bool ended;
    uint64_t next;       /* when the next one leaves */
    uint64_t left, back; /* how many did, and how many of them came again */
    struct histogram *times;
};

static void input(struct load *load, struct source *source, uint32_t events)
{
    (void)events;
    (void)load;
    char bytes[256];
    struct idle *idle = (struct idle *)source;
    if (read(STDIN_FILENO, bytes, sizeof bytes) <= 0)
        idle->ended = true;
}

static void opened(struct load *load, struct conn *conn)
{
    struct idle *idle = load->command;
    if (idle->left)
        histogram_add(idle->times, load->now - conn->since);
}

static struct conn *nth(struct load *load, uint64_t number)
{
    return &load->conns[number % (uint64_t)load->options->connections];
}

static void come_and_go(struct load *load, struct idle *idle)
{
    double rate = load->options->rate;
    for (uint64_t now = now_ns(); rate > 0 && now >= idle->next; now = now_ns()) {
        idle->next = after_seconds(idle->next ? idle->next : now, 1 / rate);
        load_leave(load, nth(load, idle->left++));
        while (idle->left - idle->back > AWAY && nth(load, idle->back)->state == CONN_GONE && !load_failed(load))
            load_join(load, nth(load, idle->back++));
        if ((double)(idle->left - idle->back) > AWAY + rate * DRAIN_SECONDS)
            load_fault(load, FAULT_TIME, "a connection was not closed by the server within %d s", DRAIN_SECONDS);
        if (load_failed(load))
            return;
    }
}

int run_idle(const struct options *options)
{
    struct load load;
    struct idle idle = {.source.ready = input, .times = need(calloc(1, sizeof *idle.times))};
    load_begin(&load, options);
    load.command = &idle;
    load.on_open = opened;
    if (load_open(&load)) {
        printf("{\"open\": %d}\n", load.open);
        fflush(stdout);
        uint64_t until = after_seconds(now_ns(), options->seconds);
        watch(&load, STDIN_FILENO, &idle.source, false, true);
        while (!idle.ended && now_ns() < until && !load_failed(&load)) {
            come_and_go(&load, &idle);
            load_turn(&load, idle.next && idle.next < until ? idle.next : until);
        }
    }
    printf("{\"command\": \"%s\", \"connections\": %d, \"still_open\": %d, \"left\": %llu, \"came_again\": %llu, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f",
           options->command, options->connections, load.open, (unsigned long long)idle.left,
           (unsigned long long)idle.back, histogram_ms(idle.times, 0.5), histogram_ms(idle.times, 0.99));
    load_close(&load);
    free(idle.times);
    return load_end(&load);
}
