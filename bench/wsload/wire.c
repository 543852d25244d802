#include "wire.h"

#include <string.h>

struct pattern pattern_of(const char *text)
{
    const char *hole = strstr(text, "##########");
    size_t size = strlen(text);
    return (struct pattern){.text = text, .size = size, .hole = hole ? (size_t)(hole - text) : size};
}

void digits_write(char *hole, uint64_t number)
{
    for (int i = DIGITS - 1; i >= 0; i--, number /= 10)
        hole[i] = (char)('0' + number % 10);
}

static size_t put_head(uint8_t *out, enum opcode opcode, size_t size, uint8_t mask_bit)
{
    out[0] = (uint8_t)(0x80 | opcode);
    if (size < 126) {
        out[1] = (uint8_t)(mask_bit | size);
        return 2;
    }
    int wide = size < 65536 ? 2 : 8;
    out[1] = (uint8_t)(mask_bit | (wide == 2 ? 126 : 127));
    for (int i = 0; i < wide; i++)
        out[2 + i] = (uint8_t)((uint64_t)size >> (8 * (wide - 1 - i)));
    return (size_t)(2 + wide);
}

size_t server_head(uint8_t *out, enum opcode opcode, size_t size)
{
    return put_head(out, opcode, size, 0);
}

size_t client_frame(uint8_t *out, enum opcode opcode, const void *payload, size_t size, uint32_t mask)
{
    size_t head = put_head(out, opcode, size, 0x80);
    memcpy(out + head, &mask, 4);
    const uint8_t *key = out + head;
    uint8_t *body = out + head + 4;
    for (size_t i = 0; i < size; i++)
        body[i] = ((const uint8_t *)payload)[i] ^ key[i & 3];
    return head + 4 + size;
}

static size_t head_size(uint8_t second)
{
    uint8_t length = second & 0x7f;
    return 2 + (length == 126 ? 2u : length == 127 ? 8u : 0u);
}

/* Take a complete head into the reader. False if no server may send it to a client without extensions. */
static bool take_head(struct frame_reader *reader, const uint8_t *head)
{
    uint64_t length = head[1] & 0x7f;
    if (length >= 126) {
        size_t wide = length == 126 ? 2 : 8;
        length = 0;
        for (size_t i = 0; i < wide; i++)
            length = length << 8 | head[2 + i];
    }
    reader->final = head[0] & 0x80;
    reader->opcode = head[0] & 0x0f;
    reader->left = length;
    reader->in_payload = true;
    if (head[0] & 0x70 || head[1] & 0x80 || length >> 63)
        return false;
    switch (reader->opcode) {
    case OP_CLOSE:
    case OP_PING:
    case OP_PONG:
        reader->control_size = 0;
        return reader->final && length <= CONTROL_MAX;
    case OP_TEXT:
    case OP_BINARY:
        if (reader->in_message)
            return false;
        reader->in_message = true;
        reader->at = reader->number = 0;
        return true;
    case OP_CONTINUATION:
        return reader->in_message;
    default:
        return false;
    }
}

/* Compare a piece of a message with its place in the pattern, and read the digits of the hole. */
static bool matches(struct frame_reader *reader, const struct pattern *expected, const uint8_t *bytes,
                    size_t size)
{
    size_t at = reader->at;
    if (reader->opcode == OP_BINARY || size > expected->size - at)
        return false;
    while (size) {
        size_t part;
        if (at >= expected->hole && at < expected->hole + DIGITS) {
            uint8_t digit = (uint8_t)(*bytes - '0');
            if (digit > 9)
                return false;
            reader->number = reader->number * 10 + digit;
            part = 1;
        } else {
            part = at < expected->hole ? expected->hole - at : size;
            if (part > size)
                part = size;
            if (memcmp(bytes, expected->text + at, part))
                return false;
        }
        at += part;
        bytes += part;
        size -= part;
    }
    return true;
}

/* Complete a head, from the reader's own bytes and the given ones. False if it is still cut. */
static bool next_head(struct frame_reader *reader, const uint8_t **bytes, size_t *size, const uint8_t **head)
{
    *head = *bytes;
    if (!reader->have && *size >= 2 && *size >= head_size((*head)[1])) {
        size_t need = head_size((*head)[1]); /* the usual case: it lies there in one piece */
        *bytes += need;
        *size -= need;
        return true;
    }
    while (reader->have < 2 || reader->have < head_size(reader->head[1])) {
        if (!*size)
            return false;
        reader->head[reader->have++] = *(*bytes)++;
        --*size;
    }
    *head = reader->head;
    reader->have = 0;
    return true;
}

enum verdict frame_read(struct frame_reader *reader, const uint8_t **bytes, size_t *size,
                        const struct pattern *expected)
{
    for (;;) {
        const uint8_t *head;
        if (!reader->in_payload) {
            if (!next_head(reader, bytes, size, &head))
                return FRAME_MORE;
            if (!take_head(reader, head))
                return FRAME_BROKEN;
        }
        size_t part = reader->left < *size ? (size_t)reader->left : *size;
        bool control = reader->opcode & 8;
        if (control) {
            memcpy(reader->control + reader->control_size, *bytes, part);
            reader->control_size = (uint8_t)(reader->control_size + part);
        } else {
            if (expected && !matches(reader, expected, *bytes, part))
                return FRAME_MISMATCH;
            reader->at += part;
        }
        *bytes += part;
        *size -= part;
        reader->left -= part;
        if (reader->left)
            return FRAME_MORE;
        reader->in_payload = false;
        if (control)
            return FRAME_CONTROL;
        if (reader->final) {
            reader->in_message = false;
            return expected && reader->at != expected->size ? FRAME_MISMATCH : FRAME_MESSAGE;
        }
    }
}
