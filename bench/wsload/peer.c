/* The least server that the generator can be proven against: handshake, echo, close, and a publish call that sends
 * to everybody. It believes what it is sent, does nothing else, and so is faster than anything that is measured. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 1024, OUT_ROOM = 2 * READ_BYTES };

static const char SWITCHING[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static const char EVENT[] = "{\"type\":\"event\",\"payload\":"; /* then the payload and a brace */

struct bytes {
    uint8_t *data;
    size_t size, room;
};

struct peer {
    int fd;
    bool websocket, writing;
    struct peer *next, **link; /* among the open WebSockets */
    struct bytes in, out;
};

static uint8_t in_buffer[READ_BYTES + 1], out_buffer[OUT_ROOM];
static struct peer *subscribers;
static long subscriber_count;
static int epoll;

static void append(struct bytes *to, const void *data, size_t size)
{
    if (to->size + size > to->room) {
        to->room = 2 * (to->size + size);
        to->data = need(realloc(to->data, to->room + 1));
    }
    memcpy(to->data + to->size, data, size);
    to->size += size;
}

static void drop(struct peer *peer)
{
    if (peer->websocket) {
        *peer->link = peer->next;
        if (peer->next)
            peer->next->link = peer->link;
        subscriber_count--;
    }
    close(peer->fd);
    free(peer->in.data);
    free(peer->out.data);
    free(peer);
}

static void watch_peer(struct peer *peer, int how, bool writing)
{
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = peer};
    peer->writing = writing;
    epoll_ctl(epoll, how, peer->fd, &event);
}

/* Send now what the socket takes, keep the rest. A dead socket shows itself at its next read. */
static void peer_send(struct peer *peer, const void *data, size_t size)
{
    if (!peer->writing) {
        ssize_t sent = send(peer->fd, data, size, MSG_NOSIGNAL);
        if (sent == (ssize_t)size || (sent < 0 && errno != EAGAIN))
            return;
        if (sent > 0) {
            data = (const uint8_t *)data + sent;
            size -= (size_t)sent;
        }
        watch_peer(peer, EPOLL_CTL_MOD, true);
    }
    append(&peer->out, data, size);
}

static void peer_flush(struct peer *peer)
{
    ssize_t sent = send(peer->fd, peer->out.data, peer->out.size, MSG_NOSIGNAL);
    if (sent <= 0)
        return;
    peer->out.size -= (size_t)sent;
    memmove(peer->out.data, peer->out.data + sent, peer->out.size);
    if (!peer->out.size)
        watch_peer(peer, EPOLL_CTL_MOD, false);
}

static void unmask(uint8_t *to, const uint8_t *from, size_t size, const uint8_t *key)
{
    uint64_t wide, piece;
    memcpy(&wide, key, 4);
    memcpy((uint8_t *)&wide + 4, key, 4);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&piece, from + i, 8);
        piece ^= wide;
        memcpy(to + i, &piece, 8);
    }
    for (; i < size; i++)
        to[i] = from[i] ^ key[i & 3];
}

/* Echo all complete frames with one send. Returns how many bytes were used; `*closing` after a Close. */
static size_t echo_frames(struct peer *peer, const uint8_t *data, size_t size, bool *closing)
{
    size_t used = 0, out = 0;
    while (!*closing && size - used >= 6) {
        const uint8_t *at = data + used;
        uint64_t length = at[1] & 0x7f;
        size_t head = 2;
        if (length >= 126) {
            size_t wide = length == 126 ? 2 : 8;
            if (size - used < 2 + wide)
                break;
            length = 0;
            for (size_t i = 0; i < wide; i++)
                length = length << 8 | at[2 + i];
            head += wide;
        }
        if (length > size - used || size - used < head + 4 + length)
            break;
        enum opcode opcode = at[0] & 0x0f;
        *closing = opcode == OP_CLOSE;
        if (out + SERVER_HEAD_MAX + length > OUT_ROOM && out) {
            peer_send(peer, out_buffer, out);
            out = 0;
        }
        uint8_t *to = out_buffer;
        if (SERVER_HEAD_MAX + length > OUT_ROOM)
            to = need(malloc(SERVER_HEAD_MAX + length));
        size_t answer = server_head(to + out, opcode == OP_PING ? OP_PONG : opcode, length);
        unmask(to + out + answer, at + head + 4, length, at + head);
        out += answer + length;
        if (to != out_buffer) {
            peer_send(peer, to, out);
            free(to);
            out = 0;
        }
        used += head + 4 + length;
    }
    if (out)
        peer_send(peer, out_buffer, out);
    return used;
}

/* Join the publications of a call (as `fanout` writes them) into frames and send these to everybody. */
static void broadcast(struct peer *peer, char *body)
{
    struct bytes frames = {0}, answer = {0};
    char number[32];
    int sent = snprintf(number, sizeof number, "%ld", subscriber_count);
    bool batch = !strncmp(body, "{\"publications\"", 15);
    append(&answer, "{\"sent\":[", batch ? 9 : 8);
    for (char *item = strstr(body, "{\"subjects\""); item;) {
        char *next = strstr(item + 1, "{\"subjects\"");
        char *end = next ? next - 1 : body + strlen(body) - (batch ? 2 : 0);
        char *payload = strstr(item, "\"payload\":");
        if (!payload)
            break;
        payload += 10;
        size_t size = (size_t)(end - 1 - payload);
        uint8_t head[SERVER_HEAD_MAX];
        append(&frames, head, server_head(head, OP_TEXT, sizeof EVENT - 1 + size + 1));
        append(&frames, EVENT, sizeof EVENT - 1);
        append(&frames, payload, size);
        append(&frames, "}", 1);
        append(&answer, number, (size_t)sent);
        append(&answer, ",", 1);
        item = next;
    }
    for (struct peer *to = subscribers; to; to = to->next)
        peer_send(to, frames.data, frames.size);
    answer.data[answer.size - 1] = batch ? ']' : '}';
    if (batch)
        append(&answer, "}", 1);
    char head[100];
    int size = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", answer.size);
    peer_send(peer, head, (size_t)size);
    peer_send(peer, answer.data, answer.size);
    free(frames.data);
    free(answer.data);
}

/* One complete request: an upgrade or a publish call. Returns how many bytes were used, 0 if it is incomplete. */
static size_t serve_request(struct peer *peer, char *data, size_t size)
{
    char *end = strstr(data, "\r\n\r\n");
    if (!end)
        return 0;
    size_t head = (size_t)(end + 4 - data);
    if (!strncmp(data, "GET ", 4)) {
        peer_send(peer, SWITCHING, sizeof SWITCHING - 1);
        peer->websocket = true;
        peer->next = subscribers;
        peer->link = &subscribers;
        if (subscribers)
            subscribers->link = &peer->next;
        subscribers = peer;
        subscriber_count++;
        return head;
    }
    char *length = strcasestr(data, "\r\ncontent-length:");
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    if (size < head + body)
        return 0;
    char after = data[head + body];
    data[head + body] = 0;
    broadcast(peer, data + head);
    data[head + body] = after;
    return head + body;
}

static void peer_read(struct peer *peer)
{
    ssize_t got = recv(peer->fd, in_buffer, READ_BYTES, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        drop(peer);
        return;
    }
    uint8_t *data = in_buffer;
    size_t size = (size_t)got, used = 0;
    if (peer->in.size) {
        append(&peer->in, data, size);
        data = peer->in.data;
        size = peer->in.size;
    }
    bool closing = false;
    data[size] = 0; /* both buffers have room for it */
    while (!peer->websocket && used < size) {
        size_t request = serve_request(peer, (char *)data + used, size - used);
        if (!request)
            break;
        used += request;
    }
    if (peer->websocket)
        used += echo_frames(peer, data + used, size - used, &closing);
    if (closing) {
        drop(peer);
    } else if (data == in_buffer) {
        if (used < size)
            append(&peer->in, data + used, size - used);
    } else {
        peer->in.size = size - used;
        memmove(data, data + used, peer->in.size);
    }
}

void peer_serve(int listener)
{
    epoll = epoll_create1(0);
    struct epoll_event events[EVENTS], accepting = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &accepting);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer) {
                if (events[i].events & EPOLLOUT)
                    peer_flush(peer);
                if (events[i].events & ~(uint32_t)EPOLLOUT)
                    peer_read(peer);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0)
                continue;
            int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            peer = need(calloc(1, sizeof *peer));
            peer->fd = fd;
            watch_peer(peer, EPOLL_CTL_ADD, false);
        }
    }
}
