/* What goes over the wire: client frames out, server frames in, whole or in pieces. No I/O here. */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGITS = 10, CONTROL_MAX = 125, CLIENT_HEAD_MAX = 14, SERVER_HEAD_MAX = 10 };
enum opcode { OP_CONTINUATION = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* The text that every message must be. Ten '#' in a row are a hole: there, ten digits carry a number. */
struct pattern {
    const char *text;
    size_t size;
    size_t hole; /* where the hole begins; `size` if there is none */
};

struct pattern pattern_of(const char *text);

/* Write `number` into a hole. */
void digits_write(char *hole, uint64_t number);

/* One masked, final frame of a client. `out` has room for CLIENT_HEAD_MAX + size. Returns its length. */
size_t client_frame(uint8_t *out, enum opcode opcode, const void *payload, size_t size, uint32_t mask);

/* The head of an unmasked, final frame of a server. Returns its length. */
size_t server_head(uint8_t *out, enum opcode opcode, size_t size);

/* Reads the frames of a server. A fragmented message is put together; control frames may stand in between. */
struct frame_reader {
    uint8_t head[SERVER_HEAD_MAX]; /* a head that a read cut in two */
    uint8_t have;
    bool in_payload;
    bool final;
    bool in_message; /* a fragment came, its last one did not */
    uint8_t opcode;  /* of the frame */
    uint64_t left;   /* bytes of this frame's payload still to come */
    uint64_t at;     /* bytes of this message so far */
    uint64_t number; /* what the hole held so far */
    uint8_t control_size;
    uint8_t control[CONTROL_MAX];
};

enum verdict {
    FRAME_MORE,     /* everything is consumed, nothing is complete */
    FRAME_MESSAGE,  /* a text or binary message is complete; `number` is set */
    FRAME_CONTROL,  /* a control frame is complete; `opcode`, `control` and `control_size` are set */
    FRAME_MISMATCH, /* a message is not the expected one */
    FRAME_BROKEN,   /* not a frame that a server may send to us */
};

/* Consume bytes up to the end of one frame. `*bytes` and `*size` are moved on; call again until FRAME_MORE.
 * `expected` may be NULL: any message will do. */
enum verdict frame_read(struct frame_reader *reader, const uint8_t **bytes, size_t *size,
                        const struct pattern *expected);

#endif
