/* Answers of an HTTP server that are read whole. */
#define _GNU_SOURCE
#include "load.h"

#include <stdlib.h>

char *answer_body(char *answer, size_t size)
{
    char *head_end = strstr(answer, "\r\n\r\n");
    if (!head_end)
        return NULL;
    char *body = head_end + 4, *end = answer + size;
    char *length = strcasestr(answer, "\r\ncontent-length:");
    if (length && length < head_end)
        return end - body >= atol(length + 17) ? body : NULL;
    char *chunked = strcasestr(answer, "\r\ntransfer-encoding: chunked");
    if (!chunked || chunked > head_end || !strstr(body, "0\r\n\r\n"))
        return NULL;
    char *from = body, *to = body;
    for (;;) {
        char *line;
        unsigned long part = strtoul(from, &line, 16);
        if (!part || line + 2 + part > end)
            break;
        memmove(to, line + 2, part);
        to += part;
        from = line + 2 + part + 2;
    }
    *to = 0;
    return body;
}
