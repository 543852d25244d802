/* fanout: how many deliveries a second reach the subscribers of one subject.
 *
 * With publishers, each of them sends a publish call on its own keep-alive connection, and the next one as soon as
 * that is answered, unless more than `window` calls are not yet delivered everywhere. A rate, where there is one,
 * holds for all publishers together. Where the body and the expected
 * message have a hole, publications are numbered in it: each must then arrive at each connection exactly once (and
 * with one publisher in order), and the time from the call to its last delivery is known. Without publishers,
 * somebody else publishes; then messages are counted only. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 * 1024 };

struct publication {
    uint64_t sent;
    uint32_t delivered;
};

struct publisher {
    struct source source;
    struct fanout *fanout;
    int fd;
    bool waiting; /* for an answer */
    char *request;
    size_t size, at;
    char *answer;
    size_t answer_size;
};

struct fanout {
    struct histogram times;
    struct publication *publications;
    uint64_t room, published, complete; /* publications: allocated, sent, delivered everywhere */
    uint64_t calls, answered;
    uint64_t deliveries, counted;
    bool numbered, publishing, counting;
    uint64_t next; /* when the next call is due */
    struct publisher *publishers;
    size_t *holes; /* where the numbers stand in a request, one a publication */
};

static void delivered(struct load *load, struct conn *conn)
{
    struct fanout *fanout = load->command;
    fanout->deliveries++;
    fanout->counted += fanout->counting;
    uint64_t number = conn->reader.number;
    if (load->options->in_order && number != conn->messages - 1)
        load_fault(load, FAULT_ORDER, "connection %u: number %llu came as message %llu", conn->id,
                   (unsigned long long)number, (unsigned long long)conn->messages - 1);
    if (!fanout->numbered)
        return;
    if (number >= fanout->published) {
        load_fault(load, FAULT_ORDER, "connection %u: number %llu was never published", conn->id,
                   (unsigned long long)number);
        return;
    }
    if (load->options->publishers == 1 && number != conn->messages - 1)
        load_fault(load, FAULT_ORDER, "connection %u: number %llu came as message %llu", conn->id,
                   (unsigned long long)number, (unsigned long long)conn->messages - 1);
    struct publication *publication = &fanout->publications[number];
    uint32_t everywhere = (uint32_t)load->options->connections;
    if (++publication->delivered == everywhere) {
        fanout->complete++;
        if (fanout->counting)
            histogram_add(&fanout->times, load->now - publication->sent);
    } else if (publication->delivered > everywhere) {
        load_fault(load, FAULT_ORDER, "number %llu was delivered twice", (unsigned long long)number);
    }
}

static void publisher_lost(struct load *load, struct publisher *publisher, const char *why)
{
    load_fault(load, FAULT_HTTP, "publish call: %s", why);
    close(publisher->fd);
    publisher->fd = -1;
}

static void publisher_write(struct load *load, struct publisher *publisher)
{
    while (publisher->fd >= 0 && publisher->at < publisher->size) {
        ssize_t sent = send(publisher->fd, publisher->request + publisher->at, publisher->size - publisher->at,
                            MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR || errno == ENOTCONN)
                watch(load, publisher->fd, &publisher->source, true, false);
            else
                publisher_lost(load, publisher, strerror(errno));
            return;
        }
        publisher->at += (size_t)sent;
        if (publisher->at == publisher->size)
            watch(load, publisher->fd, &publisher->source, false, false);
    }
}

static bool may_publish(const struct load *load, const struct fanout *fanout)
{
    if (!fanout->publishing || load_failed(load) || now_ns() < fanout->next)
        return false;
    uint64_t open = fanout->numbered ? fanout->published - fanout->complete : 0;
    return open < (uint64_t)load->options->window * (uint64_t)load->options->batch;
}

static void publish(struct load *load, struct publisher *publisher)
{
    struct fanout *fanout = publisher->fanout;
    uint64_t batch = (uint64_t)load->options->batch;
    if (fanout->published + batch > fanout->room) {
        fanout->room = 2 * (fanout->published + batch);
        fanout->publications = need(realloc(fanout->publications, fanout->room * sizeof *fanout->publications));
    }
    uint64_t now = now_ns();
    for (uint64_t i = 0; i < batch; i++) {
        if (fanout->numbered)
            digits_write(publisher->request + fanout->holes[i], fanout->published);
        fanout->publications[fanout->published++] = (struct publication){.sent = now};
    }
    fanout->calls++;
    if (load->options->rate > 0) {
        uint64_t due = after_seconds(fanout->next, 1 / load->options->rate);
        fanout->next = due > now ? due : now; /* what could not leave in time is not made up for */
    }
    publisher->waiting = true;
    publisher->at = publisher->answer_size = 0;
    publisher_write(load, publisher);
}

static void publish_where_possible(struct load *load)
{
    struct fanout *fanout = load->command;
    for (int i = 0; i < load->options->publishers && may_publish(load, fanout); i++)
        if (fanout->publishers[i].fd >= 0 && !fanout->publishers[i].waiting)
            publish(load, &fanout->publishers[i]);
}

/* Whether the body names all connections in its field, or a list of that for a batch. Others may have heard it, too. */
static bool all_sent(const struct options *options, const char *body)
{
    size_t size = strlen(options->answer_field);
    const char *at = body;
    while ((at = strstr(at, options->answer_field)) && (at == body || at[-1] != '"' || at[size] != '"'))
        at += size;
    if (!at || !(at = strchr(at, ':')))
        return false;
    at++;
    for (int i = 0; i < options->batch; i++) {
        at += strspn(at, " [,");
        char *end;
        long more = strtol(at, &end, 10) - options->connections;
        if (more < 0 || more > options->others || end == at)
            return false;
        at = end;
    }
    return true;
}

static void publisher_ready(struct load *load, struct source *source, uint32_t events)
{
    struct publisher *publisher = (struct publisher *)source;
    struct fanout *fanout = publisher->fanout;
    if (publisher->fd < 0)
        return;
    if (events & EPOLLOUT)
        publisher_write(load, publisher);
    if (publisher->fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t size = recv(publisher->fd, publisher->answer + publisher->answer_size,
                        ANSWER_MAX - publisher->answer_size, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0 || !publisher->waiting) {
        publisher_lost(load, publisher, size < 0     ? strerror(errno)
                                        : size == 0 ? "cut by the server, or an answer over 64 KiB"
                                                    : "an answer without a call");
        return;
    }
    publisher->answer_size += (size_t)size;
    publisher->answer[publisher->answer_size] = 0;
    char *body = answer_body(publisher->answer, publisher->answer_size);
    if (!body)
        return;
    publisher->waiting = false;
    fanout->answered++;
    if (strncmp(publisher->answer, "HTTP/1.1 20", 11) || !all_sent(load->options, body)) {
        char detail[180];
        publisher->answer[strcspn(publisher->answer, "\r\n")] = 0;
        snprintf(detail, sizeof detail, "%.60s, %.100s", publisher->answer, body);
        publisher_lost(load, publisher, detail);
    }
}

static char *make_request(const struct options *options, size_t *size)
{
    char *body, *text;
    size_t body_size;
    FILE *out = need(open_memstream(&body, &body_size));
    if (options->batch > 1)
        fputs("{\"publications\":[", out);
    for (int i = 0; i < options->batch; i++)
        fprintf(out, "%s%s", i ? "," : "", options->body);
    if (options->batch > 1)
        fputs("]}", out);
    fclose(out);
    out = need(open_memstream(&text, size));
    fprintf(out, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n",
            options->publish_path, options->http_port);
    if (options->api_key)
        fprintf(out, "X-Api-Key: %s\r\n", options->api_key);
    if (options->publish_header)
        fprintf(out, "%s\r\n", options->publish_header);
    fprintf(out, "Content-Length: %zu\r\n\r\n%s", body_size, body);
    fclose(out);
    free(body);
    return text;
}

static void make_publishers(struct load *load, struct fanout *fanout)
{
    const struct options *options = load->options;
    fanout->publishers = need(calloc((size_t)options->publishers + 1, sizeof *fanout->publishers));
    fanout->holes = need(calloc((size_t)options->batch, sizeof *fanout->holes));
    for (int i = 0; i < options->publishers; i++) {
        struct publisher *publisher = &fanout->publishers[i];
        publisher->source.ready = publisher_ready;
        publisher->fanout = fanout;
        publisher->request = make_request(options, &publisher->size);
        publisher->at = publisher->size;
        publisher->answer = need(malloc(ANSWER_MAX + 1));
        publisher->fd = loopback_connect(options->http_port, 0);
        if (publisher->fd < 0)
            load_fault(load, FAULT_CONNECT, "publisher: %s", strerror(errno));
        else
            watch(load, publisher->fd, &publisher->source, false, true);
    }
    if (!options->publishers || !strstr(options->body, "##########"))
        return;
    char *request = fanout->publishers[0].request, *at = request;
    for (int i = 0; i < options->batch; i++) {
        at = strstr(at, "##########");
        fanout->holes[i] = (size_t)(at - request);
        at += DIGITS;
    }
    fanout->numbered = load->expected && load->expected->hole < load->expected->size;
}

static void close_publishers(const struct options *options, struct fanout *fanout)
{
    for (int i = 0; i < options->publishers; i++) {
        if (fanout->publishers[i].fd >= 0)
            close(fanout->publishers[i].fd);
        fanout->publishers[i].fd = -1;
    }
}

static void free_publishers(const struct options *options, struct fanout *fanout)
{
    close_publishers(options, fanout);
    for (int i = 0; i < options->publishers; i++) {
        free(fanout->publishers[i].request);
        free(fanout->publishers[i].answer);
    }
    free(fanout->publishers);
    free(fanout->holes);
    free(fanout->publications);
}

static void turn_for(struct load *load, double seconds)
{
    struct fanout *fanout = load->command;
    uint64_t limit = load->options->deliveries, until = after_seconds(now_ns(), seconds);
    while (now_ns() < until && !load_failed(load) && !(limit && fanout->counted >= limit)) {
        publish_where_possible(load);
        load_turn(load, now_ns() < fanout->next && fanout->next < until ? fanout->next : until);
    }
}

/* Let everything that was published arrive; say what did not. */
static void drain(struct load *load, struct fanout *fanout)
{
    fanout->publishing = fanout->counting = false;
    if (!load->options->publishers)
        return;
    uint64_t due = fanout->published * (uint64_t)load->options->connections;
    uint64_t deadline = after_seconds(now_ns(), DRAIN_SECONDS);
    while ((fanout->deliveries < due || fanout->answered < fanout->calls) && !load_failed(load) &&
           now_ns() < deadline)
        load_turn(load, deadline);
    if (fanout->answered < fanout->calls)
        load_fault(load, FAULT_HTTP, "%llu publish calls were not answered",
                   (unsigned long long)(fanout->calls - fanout->answered));
    if (fanout->deliveries != due)
        load_fault(load, FAULT_LOST, "%llu deliveries of %llu", (unsigned long long)fanout->deliveries,
                   (unsigned long long)due);
}

int run_fanout(const struct options *options)
{
    struct load load;
    struct fanout *fanout = need(calloc(1, sizeof *fanout));
    load_begin(&load, options);
    load.command = fanout;
    load.on_message = delivered;
    make_publishers(&load, fanout);
    double rate = 0, busy = 0, ended = 0;
    if (load_open(&load)) {
        if (!options->publishers) {
            printf("{\"open\": %d}\n", load.open);
            fflush(stdout);
        }
        fanout->publishing = options->publishers > 0;
        turn_for(&load, options->warmup);
        fanout->counting = true;
        load_mark(&load);
        uint64_t from = now_ns();
        turn_for(&load, options->seconds);
        ended = (double)now_ns() / 1e9;
        rate = (double)fanout->counted / (ended - (double)from / 1e9);
        busy = load_busy(&load);
        if (fanout->counted < options->deliveries && !load_failed(&load))
            load_fault(&load, FAULT_TIME, "%llu deliveries of %llu in %.1f s", (unsigned long long)fanout->counted,
                       (unsigned long long)options->deliveries, options->seconds);
        drain(&load, fanout);
        close_publishers(options, fanout); /* before the others: the server may now end its idle ones */
        load_close(&load);
    }
    printf("{\"command\": \"%s\", \"connections\": %d, \"publishers\": %d, \"batch\": %d, \"publications\": %llu, "
           "\"deliveries\": %llu, \"rate\": %.1f, \"ended\": %.6f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"generator_busy\": %.2f",
           options->command, options->connections, options->publishers, options->batch,
           (unsigned long long)fanout->published, (unsigned long long)fanout->deliveries, rate, ended,
           histogram_ms(&fanout->times, 0.5), histogram_ms(&fanout->times, 0.99), busy);
    free_publishers(options, fanout);
    free(fanout);
    return load_end(&load);
}
