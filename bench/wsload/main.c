/* wsload: a load generator for WebSocket servers, made so that it is not what is measured.
 *
 *   wsload connect  --port P --connections N [--inflight W] [--tokens FILE]
 *   wsload echo     --port P --connections N --depth D --payload TEXT [--expect TEXT] [--seconds S]
 *   wsload fanout   --port P --connections N --publishers C --body JSON --expect TEXT [--batch B] [--seconds S]
 *   wsload idle     --port P --connections N [--rate R]
 *   wsload get      --port P --connections N --path PATH [--seconds S]
 *   wsload hooks    --port P --connections N --depth D --hook-port H [--delay-ms T] [--seconds S]
 *   wsload storm    --port P --tokens FILE --bad-tokens FILE [--path PATH] [--seconds S]
 *   wsload selftest [--server-cpu 0] [--client-cpu 1]
 *
 * One JSON object a line on standard output; exit status 1 if anything went wrong. Talks to 127.0.0.1 only. */
#include "load.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(const struct options *);
} COMMANDS[] = {
    {"connect", run_connect}, {"echo", run_echo},         {"fanout", run_fanout},
    {"idle", run_idle},       {"selftest", run_selftest}, {"storm", run_storm},
    {"get", run_get},         {"hooks", run_hooks},
};

enum {
    PORT, HTTP_PORT, PATH, TOKENS, HEADER, PAYLOAD, EXPECT, BODY, PUBLISH_PATH, API_KEY, CONNECTIONS, INFLIGHT,
    DEPTH, PUBLISHERS, BATCH, WINDOW, DELIVERIES, SECONDS, WARMUP, SERVER_CPU, CLIENT_CPU, BAD_TOKENS, RATE, OTHERS,
    SILENT, SILENTS, PUBLISH_HEADER, ANSWER_FIELD, HOOK_PORT, DELAY_MS, AWAKE, IN_ORDER, FRAMES,
};

static const struct option OPTIONS[] = {
    {"port", 1, NULL, PORT},
    {"http-port", 1, NULL, HTTP_PORT},
    {"path", 1, NULL, PATH},
    {"tokens", 1, NULL, TOKENS},
    {"bad-tokens", 1, NULL, BAD_TOKENS},
    {"header", 1, NULL, HEADER},
    {"payload", 1, NULL, PAYLOAD},
    {"expect", 1, NULL, EXPECT},
    {"body", 1, NULL, BODY},
    {"publish-path", 1, NULL, PUBLISH_PATH},
    {"api-key", 1, NULL, API_KEY},
    {"connections", 1, NULL, CONNECTIONS},
    {"inflight", 1, NULL, INFLIGHT},
    {"depth", 1, NULL, DEPTH},
    {"publishers", 1, NULL, PUBLISHERS},
    {"batch", 1, NULL, BATCH},
    {"window", 1, NULL, WINDOW},
    {"deliveries", 1, NULL, DELIVERIES},
    {"rate", 1, NULL, RATE},
    {"others", 1, NULL, OTHERS},
    {"silent", 1, NULL, SILENT},
    {"silents", 1, NULL, SILENTS},
    {"publish-header", 1, NULL, PUBLISH_HEADER},
    {"answer-field", 1, NULL, ANSWER_FIELD},
    {"hook-port", 1, NULL, HOOK_PORT},
    {"delay-ms", 1, NULL, DELAY_MS},
    {"awake", 0, NULL, AWAKE},
    {"in-order", 0, NULL, IN_ORDER},
    {"frames", 1, NULL, FRAMES},
    {"seconds", 1, NULL, SECONDS},
    {"warmup", 1, NULL, WARMUP},
    {"server-cpu", 1, NULL, SERVER_CPU},
    {"client-cpu", 1, NULL, CLIENT_CPU},
    {NULL, 0, NULL, 0},
};

static void refuse(const char *name, const char *value, const char *allowed)
{
    fprintf(stderr, "wsload: --%s %s: %s\n", name, value, allowed);
    exit(2);
}

static double number(const char *name, const char *value, double least, double most)
{
    char *end, allowed[80];
    double result = strtod(value, &end);
    if (end == value || *end || !(result >= least && result <= most)) {
        snprintf(allowed, sizeof allowed, "a number from %g to %g is needed", least, most);
        refuse(name, value, allowed);
    }
    return result;
}

static void take(struct options *o, int option, const char *name, const char *value)
{
    switch (option) {
    case PORT: o->port = (int)number(name, value, 1, 65535); break;
    case HTTP_PORT: o->http_port = (int)number(name, value, 1, 65535); break;
    case PATH: o->path = value; break;
    case TOKENS: o->tokens = value; break;
    case BAD_TOKENS: o->bad_tokens = value; break;
    case HEADER:
        if (o->header_count == sizeof o->headers / sizeof *o->headers)
            refuse(name, value, "too many headers");
        o->headers[o->header_count++] = value;
        break;
    case PAYLOAD: o->payload = value; break;
    case EXPECT: o->expect = value; break;
    case BODY: o->body = value; break;
    case PUBLISH_PATH: o->publish_path = value; break;
    case API_KEY: o->api_key = value; break;
    case SILENT: o->silent = value; break;
    case SILENTS: o->silents = (int)number(name, value, 1, MAX_DEPTH); break;
    case PUBLISH_HEADER: o->publish_header = value; break;
    case ANSWER_FIELD: o->answer_field = value; break;
    case HOOK_PORT: o->hook_port = (int)number(name, value, 1, 65535); break;
    case IN_ORDER: o->in_order = true; break;
    case FRAMES: o->frames = (uint64_t)number(name, value, 1, 1e9); break;
    case AWAKE: o->awake = true; break;
    case DELAY_MS: o->delay = number(name, value, 0, 10000) / 1000; break;
    case CONNECTIONS: o->connections = (int)number(name, value, 0, MAX_CONNECTIONS); break;
    case INFLIGHT: o->inflight = (int)number(name, value, 1, MAX_CONNECTIONS); break;
    case DEPTH: o->depth = (int)number(name, value, 1, MAX_DEPTH); break;
    case PUBLISHERS: o->publishers = (int)number(name, value, 0, 64); break;
    case BATCH: o->batch = (int)number(name, value, 1, 1000); break;
    case WINDOW: o->window = (int)number(name, value, 1, 1000); break;
    case OTHERS: o->others = (int)number(name, value, 0, MAX_CONNECTIONS); break;
    case DELIVERIES: o->deliveries = (uint64_t)number(name, value, 1, 1e12); break;
    case RATE: o->rate = number(name, value, 0, 1e6); break;
    case SECONDS: o->seconds = number(name, value, 0.01, MAX_SECONDS); break;
    case WARMUP: o->warmup = number(name, value, 0, MAX_SECONDS); break;
    case SERVER_CPU: o->server_cpu = (int)number(name, value, 0, 1023); break;
    case CLIENT_CPU: o->client_cpu = (int)number(name, value, 0, 1023); break;
    default: exit(2); /* getopt said why */
    }
}

int main(int count, char **arguments)
{
    struct options options = {
        .path = "/ws",
        .payload = "{\"type\":\"ping\"}",
        .answer_field = "sent",
        .connections = 100,
        .inflight = 32,
        .depth = 1,
        .batch = 1,
        .window = 16,
        .seconds = 3,
        .warmup = 0.3,
        .server_cpu = -1,
        .client_cpu = -1,
    };
    signal(SIGPIPE, SIG_IGN);
    for (int option, index = 0; (option = getopt_long(count, arguments, "", OPTIONS, &index)) >= 0;)
        take(&options, option, option == '?' ? "" : OPTIONS[index].name, optarg);
    const char *command = optind == count - 1 ? arguments[optind] : "";
    int (*run)(const struct options *) = NULL;
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++)
        if (!strcmp(command, COMMANDS[i].name))
            run = COMMANDS[i].run;
    if (!run) {
        fprintf(stderr, "usage: wsload connect|echo|fanout|idle|get|hooks|storm|selftest [options]; bench/README.md explains them\n");
        return 2;
    }
    options.command = command;
    if (run != run_selftest && !options.port)
        refuse("port", "", "is needed");
    if (!options.connections && run != run_hooks)
        refuse("connections", "0", "only hooks has none");
    if (options.silents && !options.silent)
        refuse("silent", "", "is needed");
    if (run == run_hooks && !options.hook_port)
        refuse("hook-port", "", "is needed");
    if (options.publishers && !options.body)
        refuse("body", "", "is needed to publish");
    if (!options.http_port)
        options.http_port = options.port;
    if (!options.publish_path)
        options.publish_path = options.batch > 1 ? "/internal/publish/batch" : "/internal/publish";
    int runs = run == run_selftest ? 6 : 1;
    alarm(runs * (unsigned)(OPEN_SECONDS + options.warmup + options.seconds + 2 * DRAIN_SECONDS + 1)); /* at the latest */
    return run(&options);
}
