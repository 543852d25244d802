/* echo: how many frames a second go there and come back. Each connection keeps `depth` frames in flight; the replies
 * that one read brings are answered by one write. With a rate, each connection sends so many a second instead, evenly
 * spread over all of them and whether or not replies come, as long as no more than `depth` are in flight. What is in
 * flight at the end must still come back.
 *
 * Frames that get no reply may go before each that does, in one piece with it: then they are what is counted.
 *
 * A limit of frames makes it a burst: it is over when so many got their replies, before the time is. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>

struct echo {
    struct histogram times;
    uint64_t replies, in_flight, frames; /* frames: all that were sent and get a reply */
    bool sending, counting;
    uint64_t sent, next; /* with a rate: how many so far, and when the next one is due */
};

static void replied(struct load *load, struct conn *conn)
{
    struct echo *echo = load->command;
    uint32_t depth = (uint32_t)load->options->depth;
    if (conn->answered == depth) {
        load_fault(load, FAULT_ORDER, "connection %u: more replies than frames", conn->id);
        return;
    }
    uint64_t sent = conn->sent[(conn->sent_first + conn->answered++) % depth];
    echo->in_flight--;
    if (echo->counting) {
        echo->replies++;
        histogram_add(&echo->times, load->now - sent);
    }
}

static void send_frames(struct load *load, struct conn *conn, uint32_t frames)
{
    struct echo *echo = load->command;
    uint32_t depth = (uint32_t)load->options->depth;
    for (uint32_t i = 0; i < frames; i++)
        conn->sent[(conn->sent_first + i) % depth] = load->now;
    conn->sent_first = (conn->sent_first + frames) % depth;
    conn->answered -= frames;
    echo->in_flight += frames;
    echo->frames += frames;
    load_send(load, conn, frames);
}

static void send_again(struct load *load, struct conn *conn)
{
    struct echo *echo = load->command;
    if (!conn->answered || !echo->sending || load->options->rate > 0)
        return;
    uint64_t left = load->options->frames ? load->options->frames - echo->frames : UINT64_MAX;
    uint32_t frames = left < conn->answered ? (uint32_t)left : conn->answered;
    if (frames)
        send_frames(load, conn, frames);
}

/* With a rate: send what is due, one connection after the other. */
static void send_due(struct load *load, struct echo *echo)
{
    const struct options *options = load->options;
    for (load->now = now_ns(); options->rate > 0 && echo->sending && load->now >= echo->next; load->now = now_ns()) {
        struct conn *conn = &load->conns[echo->sent++ % (uint64_t)options->connections];
        echo->next = after_seconds(echo->next ? echo->next : load->now, 1 / (options->rate * options->connections));
        if (!conn->answered)
            load_fault(load, FAULT_LOST, "connection %u: %d frames are not answered", conn->id, options->depth);
        if (load_failed(load))
            return;
        send_frames(load, conn, 1);
    }
}

static uint8_t *make_frames(const struct options *options, uint32_t *size)
{
    size_t length = strlen(options->payload), silent = options->silent ? strlen(options->silent) : 0;
    size_t room = (size_t)options->silents * (silent + CLIENT_HEAD_MAX) + length + CLIENT_HEAD_MAX;
    uint8_t *frames = need(malloc(room * (size_t)options->depth));
    *size = 0;
    for (int i = 0; i < options->silents; i++)
        *size += (uint32_t)client_frame(frames + *size, OP_TEXT, options->silent, silent, 0x3c1f05a9u);
    *size += (uint32_t)client_frame(frames + *size, OP_TEXT, options->payload, length, 0x5ac3f01eu);
    for (int i = 1; i < options->depth; i++)
        memcpy(frames + (size_t)i * *size, frames, *size);
    return frames;
}

static void turn_for(struct load *load, double seconds)
{
    struct echo *echo = load->command;
    uint64_t until = after_seconds(now_ns(), seconds), limit = load->options->frames;
    while (now_ns() < until && !load_failed(load) && !(limit && echo->frames == limit && !echo->in_flight)) {
        send_due(load, echo);
        load_turn(load, echo->next && echo->next < until ? echo->next : until);
    }
}

int run_echo(const struct options *options)
{
    struct load load;
    struct echo *echo = need(calloc(1, sizeof *echo));
    load_begin(&load, options);
    uint8_t *frames = make_frames(options, &load.frame_size);
    load.frame = frames;
    load.frame_copies = (uint32_t)options->depth;
    load.command = echo;
    load.on_message = replied;
    load.after_read = send_again;
    for (int i = 0; i < options->connections; i++) {
        load.conns[i].sent = need(calloc((size_t)options->depth, sizeof *load.conns[i].sent));
        load.conns[i].answered = (uint32_t)options->depth; /* as if all had just come back */
    }
    double rate = 0, busy = 0, begun = 0;
    if (load_open(&load)) {
        echo->sending = true;
        load.now = now_ns();
        begun = (double)load.now / 1e9;
        for (int i = 0; i < options->connections; i++)
            send_again(&load, &load.conns[i]);
        turn_for(&load, options->warmup);
        echo->counting = true;
        load_mark(&load);
        uint64_t from = now_ns();
        turn_for(&load, options->seconds);
        rate = (double)(echo->replies * (uint64_t)(options->silents ? options->silents : 1)) / ((double)(now_ns() - from) / 1e9);
        busy = load_busy(&load);
        echo->counting = echo->sending = false;
        uint64_t deadline = after_seconds(now_ns(), DRAIN_SECONDS);
        while (echo->in_flight && !load_failed(&load) && now_ns() < deadline)
            load_turn(&load, deadline);
        if (echo->in_flight)
            load_fault(&load, FAULT_LOST, "%llu replies did not come", (unsigned long long)echo->in_flight);
        if (options->frames && echo->frames < options->frames && !load_failed(&load))
            load_fault(&load, FAULT_TIME, "%llu frames of %llu in %.1f s", (unsigned long long)echo->frames,
                       (unsigned long long)options->frames, options->seconds);
        load_close(&load);
    }
    printf("{\"command\": \"%s\", \"connections\": %d, \"depth\": %d, \"payload_bytes\": %zu, \"replies\": %llu, \"silent\": %llu, "
           "\"rate\": %.1f, \"begun\": %.6f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"generator_busy\": %.2f",
           options->command, options->connections, options->depth, strlen(options->payload),
           (unsigned long long)echo->replies, (unsigned long long)(echo->frames * (uint64_t)options->silents), rate, begun, histogram_ms(&echo->times, 0.5),
           histogram_ms(&echo->times, 0.99), busy);
    free(echo);
    free(frames);
    return load_end(&load);
}
