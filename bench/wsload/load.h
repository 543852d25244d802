/* Many WebSocket connections to one server on loopback, driven by one thread and one epoll.
 *
 * A command fills in the callbacks of a `struct load`, opens the connections and turns the loop until it has what
 * it wants. Whatever goes wrong is counted by kind, the first case of each kind with its details, and ends in the
 * exit status. Every wait has a deadline. */
#ifndef LOAD_H
#define LOAD_H

#include "histogram.h"
#include "wire.h"

enum {
    MAX_CONNECTIONS = 60000,
    MAX_DEPTH = 256,
    MAX_SECONDS = 600,
    OPEN_SECONDS = 60,
    DRAIN_SECONDS = 15,
    READ_BYTES = 256 * 1024,
    LOOK_NS = 50000, /* a look for events that took longer was interrupted by somebody else */
};

enum fault {
    FAULT_CONNECT,  /* no TCP connection */
    FAULT_REFUSED,  /* an answer other than 101 with the right accept key */
    FAULT_CLOSED,   /* the server began to close */
    FAULT_CUT,      /* the connection ended without a close */
    FAULT_PROTOCOL, /* bytes that a server may not send */
    FAULT_MISMATCH, /* a message that is not the expected one */
    FAULT_HTTP,     /* a publish call was not answered with 200 and the right counts */
    FAULT_LOST,     /* a reply or a delivery never came */
    FAULT_ORDER,    /* deliveries came twice or in another order */
    FAULT_TIME,     /* a deadline passed */
    FAULT_SYSTEM,   /* this machine refused: descriptors, memory, ports */
    FAULTS,
};

struct options {
    const char *command;
    int port;
    int http_port; /* where to publish; the same as `port` unless given */
    const char *path;
    const char *tokens; /* a file, one token a line */
    const char *bad_tokens; /* the same, of tokens that must be refused */
    const char *headers[16];
    int header_count;
    const char *payload;
    const char *silent; /* echo: text of the frames that get no reply, */
    int silents;        /* and how many of them go before each that does */
    const char *expect; /* NULL: any message */
    const char *body;   /* of one publication */
    const char *publish_path;
    const char *api_key;
    const char *publish_header;
    const char *answer_field; /* holds the number of connections in the answer to a publish call */
    int hook_port;            /* where `hooks` receives */
    double delay;             /* seconds from a webhook to its answer */
    int connections;
    int inflight;
    int depth;
    int publishers;
    int batch;
    int window;
    int others; /* how many connections that are not ours may hear a publication */
    uint64_t deliveries;
    bool in_order;   /* fanout without publishers: numbers come as 0, 1, 2.. on each connection */
    uint64_t frames; /* echo: so many in all, 0: as many as there is time for */
    double rate; /* a second, of each connection or of all publishers; 0: as fast as answers come */
    double seconds;
    double warmup;
    bool awake; /* look for events without ever sleeping */
    int server_cpu; /* selftest only; -1: wherever the system likes */
    int client_cpu;
};

enum state { CONN_NEW, CONN_CONNECTING, CONN_HANDSHAKE, CONN_OPEN, CONN_CLOSING, CONN_GONE };

struct load;

/* What an epoll event points to. */
struct source {
    void (*ready)(struct load *load, struct source *source, uint32_t events);
};

struct conn {
    struct source source;
    int fd;
    enum state state;
    bool writing; /* epoll tells us when we may write */
    bool close_received;
    uint32_t id;
    const char *request; /* what is left of the handshake */
    size_t request_left;
    char *head; /* an answer that came in pieces */
    size_t head_size;
    struct frame_reader reader;
    uint64_t since;   /* when it began to connect */
    uint32_t at;      /* place within the load's frame */
    uint32_t pending; /* frames to send, the begun one included */
    uint16_t control_left;
    uint8_t control[2 * (CLIENT_HEAD_MAX + CONTROL_MAX)];
    uint64_t messages;
    uint64_t *sent; /* echo: a ring of `depth` times */
    uint32_t sent_first, answered;
};

struct load {
    const struct options *options;
    int epoll;
    struct conn *conns;
    int next, opening, open;
    uint64_t begun; /* when the command began */
    uint64_t now;   /* monotonic nanoseconds, of the last wake-up or read */
    char **requests;
    int request_count;
    struct pattern pattern;
    const struct pattern *expected;
    const uint8_t *frame; /* `depth` copies of the frame that connections send */
    uint32_t frame_size, frame_copies;
    void (*on_open)(struct load *, struct conn *);
    void (*on_message)(struct load *, struct conn *);
    void (*after_read)(struct load *, struct conn *);
    void *command;
    uint64_t faults[FAULTS];
    char details[FAULTS][200];
    double busy_from, wall_from;
    uint64_t idle, idle_from; /* awake: nanoseconds spent on looking for something to do */
};

void load_begin(struct load *load, const struct options *options);

/* One handshake for each token of a file, or one without a token where there is no file. */
char **handshakes(struct load *load, const char *tokens, int *count);

/* Open all connections, `inflight` at a time. False if one of them could not be opened. */
bool load_open(struct load *load);

/* Turn the loop once; wait at most until `until` (monotonic nanoseconds). */
void load_turn(struct load *load, uint64_t until);

/* Send `frames` more copies of the load's frame. */
void load_send(struct load *load, struct conn *conn, uint32_t frames);

/* Close all connections with 1000, wait for the server's half, count those that do not end properly. */
void load_close(struct load *load);

/* Begin to close an open connection with 1000, and open one at a place where none is any more. */
void load_leave(struct load *load, struct conn *conn);
void load_join(struct load *load, struct conn *conn);

void load_fault(struct load *load, enum fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool load_failed(const struct load *load);

/* Print the errors as the end of a JSON object and give everything back. Returns the exit status. */
int load_end(struct load *load);

/* The share of a core that this process used since load_mark(). */
void load_mark(struct load *load);
double load_busy(const struct load *load);

/* The memory, or the end of the process with a word about it. */
void *need(void *memory);

uint64_t now_ns(void);
uint64_t after_seconds(uint64_t from, double seconds);
/* A socket that connects to 127.0.0.1. `receive_buffer`: its bytes, 0 for what the system likes. */
int loopback_connect(int port, int receive_buffer);
void watch(struct load *load, int fd, struct source *source, bool writing, bool add);

int run_connect(const struct options *options);
int run_echo(const struct options *options);
/* The body of a complete answer, its pieces joined in place, or NULL while it is incomplete. */
char *answer_body(char *answer, size_t size);

int run_fanout(const struct options *options);
int run_get(const struct options *options);
int run_hooks(const struct options *options);
int run_idle(const struct options *options);
int run_storm(const struct options *options);
int run_selftest(const struct options *options);

/* The server of the self-test: never returns. */
void peer_serve(int listener) __attribute__((noreturn));

#endif
