/* What a command ends in: times, errors by kind, and the end of its JSON object. */
#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *const NAMES[FAULTS] = {
    [FAULT_CONNECT] = "connect",   [FAULT_REFUSED] = "refused",   [FAULT_CLOSED] = "closed", [FAULT_CUT] = "cut",
    [FAULT_PROTOCOL] = "protocol", [FAULT_MISMATCH] = "mismatch", [FAULT_HTTP] = "http",     [FAULT_LOST] = "lost",
    [FAULT_ORDER] = "order",       [FAULT_TIME] = "time",         [FAULT_SYSTEM] = "system",
};

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t after_seconds(uint64_t from, double seconds)
{
    return from + (uint64_t)(seconds * 1e9);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void load_mark(struct load *load)
{
    load->busy_from = cpu_seconds();
    load->idle_from = load->idle;
    load->wall_from = (double)now_ns() / 1e9;
}

double load_busy(const struct load *load)
{
    double wall = (double)now_ns() / 1e9 - load->wall_from;
    double busy = cpu_seconds() - load->busy_from - (double)(load->idle - load->idle_from) / 1e9;
    return wall > 0 && busy > 0 ? busy / wall : 0;
}

void load_fault(struct load *load, enum fault fault, const char *format, ...)
{
    if (load->faults[fault]++)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(load->details[fault], sizeof load->details[fault], format, arguments);
    va_end(arguments);
}

bool load_failed(const struct load *load)
{
    for (int i = 0; i < FAULTS; i++)
        if (load->faults[i])
            return true;
    return false;
}

static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

int load_end(struct load *load)
{
    bool failed = load_failed(load);
    printf(", \"ok\": %s, \"errors\": {", failed ? "false" : "true");
    for (int i = 0, first = 1; i < FAULTS; i++)
        if (load->faults[i]) {
            printf("%s\"%s\": {\"count\": %llu, \"first\": ", first ? "" : ", ", NAMES[i],
                   (unsigned long long)load->faults[i]);
            print_json_text(load->details[i]);
            putchar('}');
            first = 0;
        }
    puts("}}");
    fflush(stdout);
    for (int i = 0; i < load->options->connections; i++) {
        if (load->conns[i].fd >= 0)
            close(load->conns[i].fd);
        free(load->conns[i].head);
        free(load->conns[i].sent);
    }
    free(load->conns);
    for (int i = 0; i < load->request_count; i++)
        free(load->requests[i]);
    free(load->requests);
    close(load->epoll);
    return failed;
}

void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "wsload: out of memory\n");
        exit(1);
    }
    return memory;
}
