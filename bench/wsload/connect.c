/* connect: how many handshakes a second. The connections stay open until the last one is, then close properly. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>

static void opened(struct load *load, struct conn *conn)
{
    histogram_add(load->command, load->now - conn->since);
}

int run_connect(const struct options *options)
{
    struct load load;
    struct histogram *times = need(calloc(1, sizeof *times));
    load_begin(&load, options);
    load.command = times;
    load.on_open = opened;
    load_mark(&load);
    uint64_t from = now_ns();
    load_open(&load);
    double seconds = (double)(now_ns() - from) / 1e9, busy = load_busy(&load);
    printf("{\"command\": \"%s\", \"connections\": %d, \"inflight\": %d, \"seconds\": %.3f, \"rate\": %.1f, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"generator_busy\": %.2f",
           options->command, load.open, options->inflight, seconds, (double)load.open / seconds,
           histogram_ms(times, 0.5), histogram_ms(times, 0.99), busy);
    load_close(&load);
    free(times);
    return load_end(&load);
}
