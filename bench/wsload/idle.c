/* idle: hold connections, answer pings, and notice every connection that does not stay. Ends with standard input. */
#include "load.h"

#include <stdio.h>
#include <unistd.h>

struct idle {
    struct source source;
    bool ended;
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

int run_idle(const struct options *options)
{
    struct load load;
    struct idle idle = {.source.ready = input};
    load_begin(&load, options);
    if (load_open(&load)) {
        printf("{\"open\": %d}\n", load.open);
        fflush(stdout);
        uint64_t until = after_seconds(now_ns(), options->seconds);
        watch(&load, STDIN_FILENO, &idle.source, false, true);
        while (!idle.ended && now_ns() < until && !load_failed(&load))
            load_turn(&load, until);
    }
    printf("{\"command\": \"%s\", \"connections\": %d, \"still_open\": %d", options->command, options->connections,
           load.open);
    load_close(&load);
    return load_end(&load);
}
