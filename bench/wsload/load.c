#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* One key for all: what the server must answer is then known without SHA-1 (RFC 6455 section 1.3 has the pair). */
static const char KEY[] = "dGhlIHNhbXBsZSBub25jZQ==";
static const char ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

enum { HEAD_MAX = 16 * 1024, EVENTS = 1024 };

static uint8_t read_buffer[READ_BYTES + 1]; /* one thread, one read at a time; the last byte ends a head */

static char *handshake_request(const struct options *options, const char *token)
{
    char *text;
    size_t size;
    FILE *out = need(open_memstream(&text, &size));
    fprintf(out,
            "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n",
            options->path, options->port, KEY);
    for (int i = 0; i < options->header_count; i++)
        fprintf(out, "%s\r\n", options->headers[i]);
    if (token)
        fprintf(out, "Authorization: Bearer %s\r\n", token);
    fputs("\r\n", out);
    if (fclose(out))
        need(NULL);
    return text;
}

/* Made once: nothing is formatted while the clock runs. */
char **handshakes(struct load *load, const char *tokens, int *count)
{
    char **requests = NULL;
    *count = 0;
    if (!tokens) {
        requests = need(malloc(sizeof *requests));
        requests[(*count)++] = handshake_request(load->options, NULL);
        return requests;
    }
    FILE *file = fopen(tokens, "r");
    if (!file) {
        load_fault(load, FAULT_SYSTEM, "cannot read the file of tokens: %s", strerror(errno));
        return NULL;
    }
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    while ((size = getline(&line, &room, file)) > 0) {
        line[strcspn(line, "\r\n")] = 0;
        if (!*line)
            continue;
        requests = need(realloc(requests, ((size_t)*count + 1) * sizeof *requests));
        requests[(*count)++] = handshake_request(load->options, line);
    }
    free(line);
    fclose(file);
    if (!*count)
        load_fault(load, FAULT_SYSTEM, "the file of tokens holds none");
    return requests;
}

static void raise_descriptor_limit(struct load *load, int connections)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < (rlim_t)connections + 100)
        load_fault(load, FAULT_SYSTEM, "%d connections need a higher descriptor limit than %llu", connections,
                   (unsigned long long)limit.rlim_cur);
}

static void conn_ready(struct load *load, struct source *source, uint32_t events);

void load_begin(struct load *load, const struct options *options)
{
    memset(load, 0, sizeof *load);
    load->options = options;
    load->begun = load->now = now_ns();
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0) {
        perror("wsload: epoll");
        exit(1);
    }
    raise_descriptor_limit(load, options->connections);
    load->requests = handshakes(load, options->tokens, &load->request_count);
    if (options->expect) {
        load->pattern = pattern_of(options->expect);
        load->expected = &load->pattern;
    }
    load->conns = need(calloc((size_t)options->connections, sizeof *load->conns));
    for (int i = 0; i < options->connections; i++) {
        struct conn *conn = &load->conns[i];
        conn->source.ready = conn_ready;
        conn->fd = -1;
        conn->id = (uint32_t)i;
        if (load->request_count) {
            conn->request = load->requests[i % load->request_count];
            conn->request_left = strlen(conn->request);
        }
    }
}

int loopback_connect(int port, int receive_buffer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

void watch(struct load *load, int fd, struct source *source, bool writing, bool add)
{
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = source};
    if (epoll_ctl(load->epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event))
        load_fault(load, FAULT_SYSTEM, "epoll: %s", strerror(errno));
}

static void want_write(struct load *load, struct conn *conn, bool writing)
{
    if (conn->writing == writing)
        return;
    conn->writing = writing;
    watch(load, conn->fd, &conn->source, writing, false);
}

static void gone(struct load *load, struct conn *conn)
{
    if (conn->state == CONN_CONNECTING || conn->state == CONN_HANDSHAKE)
        load->opening--;
    if (conn->state == CONN_OPEN || conn->state == CONN_CLOSING)
        load->open--;
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    conn->state = CONN_GONE;
}

/* A connection that is no longer of use, and why. */
static void give_up(struct load *load, struct conn *conn, enum fault fault, const char *detail)
{
    load_fault(load, fault, "connection %u: %s", conn->id, detail);
    gone(load, conn);
}

static void cut(struct load *load, struct conn *conn, const char *detail)
{
    if (conn->state == CONN_CONNECTING)
        give_up(load, conn, FAULT_CONNECT, detail);
    else if (conn->state == CONN_CLOSING && conn->close_received)
        gone(load, conn); /* the proper end */
    else
        give_up(load, conn, FAULT_CUT, detail);
}

/* Write what there is: the request, control frames at the border of frames, the load's frame again and again. */
static void flush(struct load *load, struct conn *conn)
{
    for (;;) {
        const void *from;
        size_t size;
        if (conn->request_left) {
            from = conn->request;
            size = conn->request_left;
        } else if (conn->control_left && !conn->at) {
            from = conn->control;
            size = conn->control_left;
        } else if (conn->pending) {
            uint32_t frames = conn->control_left             ? 1
                              : conn->pending < load->frame_copies ? conn->pending
                                                                   : load->frame_copies;
            from = load->frame + conn->at;
            size = (size_t)frames * load->frame_size - conn->at;
        } else {
            want_write(load, conn, false);
            return;
        }
        ssize_t sent = send(conn->fd, from, size, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR)
                want_write(load, conn, true);
            else
                cut(load, conn, strerror(errno));
            return;
        }
        if (conn->request_left) {
            conn->request += sent;
            conn->request_left -= (size_t)sent;
        } else if (conn->control_left && !conn->at) {
            conn->control_left = (uint16_t)(conn->control_left - sent);
            memmove(conn->control, conn->control + sent, conn->control_left);
        } else {
            uint64_t at = conn->at + (uint64_t)sent;
            conn->pending -= (uint32_t)(at / load->frame_size);
            conn->at = (uint32_t)(at % load->frame_size);
        }
    }
}

void load_send(struct load *load, struct conn *conn, uint32_t frames)
{
    bool waiting = conn->writing;
    conn->pending += frames;
    if (!waiting)
        flush(load, conn);
}

static void send_control(struct load *load, struct conn *conn, enum opcode opcode, const void *payload, size_t size)
{
    if (conn->control_left + CLIENT_HEAD_MAX + size > sizeof conn->control) {
        give_up(load, conn, FAULT_PROTOCOL, "more pings than can be answered");
        return;
    }
    uint32_t mask = 0x9e3779b9u * (conn->id + 1);
    conn->control_left = (uint16_t)(conn->control_left + client_frame(conn->control + conn->control_left, opcode,
                                                                      payload, size, mask));
    if (!conn->writing)
        flush(load, conn);
}

static void control_received(struct load *load, struct conn *conn)
{
    struct frame_reader *reader = &conn->reader;
    if (reader->opcode == OP_PING && conn->state == CONN_OPEN) {
        send_control(load, conn, OP_PONG, reader->control, reader->control_size);
    } else if (reader->opcode == OP_CLOSE) {
        conn->close_received = true;
        if (conn->state == CONN_CLOSING)
            return;
        char detail[180];
        if (reader->control_size >= 2)
            snprintf(detail, sizeof detail, "closed by the server with %d %.*s",
                     reader->control[0] << 8 | reader->control[1], reader->control_size - 2, reader->control + 2);
        else
            snprintf(detail, sizeof detail, "closed by the server without a code");
        give_up(load, conn, FAULT_CLOSED, detail);
    }
}

static void frames_received(struct load *load, struct conn *conn, const uint8_t *bytes, size_t size)
{
    const struct pattern *expected = conn->state == CONN_CLOSING ? NULL : load->expected;
    while (conn->state == CONN_OPEN || conn->state == CONN_CLOSING) {
        char detail[160];
        switch (frame_read(&conn->reader, &bytes, &size, expected)) {
        case FRAME_MORE:
            if (conn->state == CONN_OPEN && load->after_read)
                load->after_read(load, conn);
            return;
        case FRAME_MESSAGE:
            conn->messages++;
            if (load->on_message && conn->state == CONN_OPEN)
                load->on_message(load, conn);
            break;
        case FRAME_CONTROL:
            control_received(load, conn);
            break;
        case FRAME_MISMATCH:
            snprintf(detail, sizeof detail, "not the expected message: %.*s", size > 100 ? 100 : (int)size, bytes);
            give_up(load, conn, FAULT_MISMATCH, detail);
            return;
        case FRAME_BROKEN:
            give_up(load, conn, FAULT_PROTOCOL, "a frame that a server may not send");
            return;
        }
    }
}

/* The answer to the handshake, whole or in pieces; what follows it are frames. */
static void head_received(struct load *load, struct conn *conn, uint8_t *bytes, size_t size)
{
    if (conn->head || !memmem(bytes, size, "\r\n\r\n", 4)) {
        if (conn->head_size + size > HEAD_MAX) {
            give_up(load, conn, FAULT_REFUSED, "an answer of more than 16 KiB to the handshake");
            return;
        }
        conn->head = need(realloc(conn->head, HEAD_MAX + 1));
        memcpy(conn->head + conn->head_size, bytes, size);
        conn->head_size += size;
        bytes = (uint8_t *)conn->head;
        size = conn->head_size;
    }
    char *head = (char *)bytes;
    char *end = memmem(head, size, "\r\n\r\n", 4);
    if (!end)
        return;
    *end = 0;
    if (strncmp(head, "HTTP/1.1 101", 12) || !strstr(head, ACCEPT) || !strcasestr(head, "sec-websocket-accept:")) {
        head[strcspn(head, "\r\n")] = 0;
        give_up(load, conn, FAULT_REFUSED, head);
        return;
    }
    conn->state = CONN_OPEN;
    load->opening--;
    load->open++;
    if (load->on_open)
        load->on_open(load, conn);
    size_t used = (size_t)(end + 4 - head);
    frames_received(load, conn, bytes + used, size - used);
    free(conn->head);
    conn->head = NULL;
}

static void conn_ready(struct load *load, struct source *source, uint32_t events)
{
    struct conn *conn = (struct conn *)source;
    if (conn->state == CONN_GONE)
        return; /* its event was fetched before it went */
    if (conn->state == CONN_CONNECTING) {
        int why = 0;
        socklen_t size = sizeof why;
        getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &why, &size);
        if (why) {
            cut(load, conn, strerror(why));
            return;
        }
        if (!(events & EPOLLOUT))
            return;
        conn->state = CONN_HANDSHAKE;
    }
    if (events & EPOLLOUT)
        flush(load, conn);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    while (conn->fd >= 0) {
        ssize_t size = recv(conn->fd, read_buffer, READ_BYTES, 0);
        if (size < 0) {
            if (errno != EAGAIN && errno != EINTR)
                cut(load, conn, strerror(errno));
            return;
        }
        if (!size) {
            cut(load, conn, "cut by the server");
            return;
        }
        load->now = now_ns();
        if (conn->state == CONN_HANDSHAKE)
            head_received(load, conn, read_buffer, (size_t)size);
        else
            frames_received(load, conn, read_buffer, (size_t)size);
        if (size < READ_BYTES)
            return; /* level-triggered: whatever came since wakes us again */
    }
}

void load_turn(struct load *load, uint64_t until)
{
    struct epoll_event events[EVENTS];
    uint64_t now = now_ns();
    int wait = until <= now || load->options->awake ? 0 : (int)((until - now + 999999) / 1000000);
    int count = epoll_wait(load->epoll, events, EVENTS, wait);
    load->now = now_ns();
    if (count <= 0 && load->options->awake)
        load->idle += load->now - now < LOOK_NS ? load->now - now : LOOK_NS;
    for (int i = 0; i < count; i++) {
        struct source *source = events[i].data.ptr;
        source->ready(load, source, events[i].events);
    }
}

static void begin(struct load *load, struct conn *conn)
{
    conn->since = now_ns();
    conn->fd = loopback_connect(load->options->port, 0);
    if (conn->fd < 0) {
        enum fault fault = errno == EMFILE || errno == EADDRNOTAVAIL ? FAULT_SYSTEM : FAULT_CONNECT;
        give_up(load, conn, fault, strerror(errno));
        return;
    }
    conn->state = CONN_CONNECTING;
    conn->writing = true;
    load->opening++;
    watch(load, conn->fd, &conn->source, true, true);
}

bool load_open(struct load *load)
{
    uint64_t deadline = after_seconds(now_ns(), OPEN_SECONDS);
    while (!load_failed(load) && (load->next < load->options->connections || load->opening)) {
        while (load->opening < load->options->inflight && load->next < load->options->connections &&
               !load_failed(load))
            begin(load, &load->conns[load->next++]);
        load_turn(load, deadline);
        if (load->now >= deadline && load->open < load->options->connections)
            load_fault(load, FAULT_TIME, "%d of %d connections were open after %d s", load->open,
                       load->options->connections, OPEN_SECONDS);
    }
    return !load_failed(load);
}

void load_leave(struct load *load, struct conn *conn)
{
    static const uint8_t NORMAL[2] = {1000 >> 8, 1000 & 0xff};
    if (conn->state != CONN_OPEN)
        return;
    conn->state = CONN_CLOSING;
    send_control(load, conn, OP_CLOSE, NORMAL, sizeof NORMAL);
}

void load_join(struct load *load, struct conn *conn)
{
    struct conn fresh = {.source = conn->source, .fd = -1, .id = conn->id, .sent = conn->sent};
    fresh.request = load->requests[conn->id % (uint32_t)load->request_count];
    fresh.request_left = strlen(fresh.request);
    free(conn->head);
    *conn = fresh;
    begin(load, conn);
}

void load_close(struct load *load)
{
    uint64_t deadline = after_seconds(now_ns(), DRAIN_SECONDS);
    for (int i = 0; i < load->next; i++)
        load_leave(load, &load->conns[i]);
    while (load->open && now_ns() < deadline)
        load_turn(load, deadline);
    if (load->open)
        load_fault(load, FAULT_TIME, "%d connections were not closed by the server within %d s", load->open,
                   DRAIN_SECONDS);
}
