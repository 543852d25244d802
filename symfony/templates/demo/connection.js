// One WebSocket that comes back: token, heartbeat, back-off. Knows nothing of the page.
//
// Events: "state" (detail: {state, reason, retryAt}), "frame" (detail: {direction, text}) for everything that
// travels or happens, "message" (detail: the decoded object).
// States: idle, connecting, open, waiting (for the next attempt), stopped (until somebody asks again).

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15000;
const SETTLED_AFTER = 5000;
const CONNECT_TIMEOUT = 10000;
const PING_INTERVAL = 20000;
const PONG_TIMEOUT = 10000;
const TOKEN_SPARE = 60;

const CLOSE_REASONS = {
  1000: "the gateway closed the connection",
  1006: "the connection was lost",
  1009: "a message was too large",
  1012: "the gateway restarts",
  1013: "the gateway asks to come back later",
  4401: "the token is not accepted any more",
  4403: "the gateway sent this client away",
  4408: "this client was too slow",
  4429: "this client was too fast",
};

// A browser does not tell a gateway that is away from one that refuses the handshake.
const UNREACHABLE = "the gateway does not answer";

// The token endpoint said no for good: asking again would change nothing.
class Refused extends Error {}

export class Connection extends EventTarget {
  #url;
  #fetchToken;
  #token = null;
  #socket = null;
  #attempts = 0;
  #round = 0;
  #timers = { retry: 0, connect: 0, settle: 0, ping: 0, pong: 0 };
  state = "idle";
  retryAt = 0;

  // fetchToken: async () => {token, expires_at}; throws Connection.Refused where trying again is no use.
  constructor(url, fetchToken) {
    super();
    this.#url = url;
    this.#fetchToken = fetchToken;
  }

  static Refused = Refused;

  open() {
    this.#attempts = 0;
    this.#connect();
  }

  close() {
    this.#drop(1000);
    this.#enter("idle");
  }

  // Do not wait for the next attempt.
  hurry() {
    if (this.state === "waiting" || this.state === "stopped") this.#connect();
  }

  // Returns whether it was handed to the socket.
  send(message) {
    if (this.state !== "open") return false;
    this.#write(JSON.stringify(message));
    return true;
  }

  async #connect() {
    this.#drop();
    const round = this.#round;
    this.#enter("connecting");
    let token;
    try {
      token = await this.#freshToken();
    } catch (error) {
      if (round !== this.#round) return;
      this.#note(`no token: ${error.message}`);
      if (error instanceof Refused) this.#enter("stopped", error.message);
      else this.#wait(error.message);
      return;
    }
    if (round !== this.#round) return;
    this.#note(`connecting to ${this.#url}`);
    let socket;
    try {
      // A browser cannot set headers here; the pair keeps the token out of the address.
      socket = new WebSocket(this.#url, ["bearer", token]);
    } catch (error) {
      this.#enter("stopped", error.message);
      return;
    }
    this.#socket = socket;
    const mine = (action) => (event) => { if (socket === this.#socket) action(event); };
    socket.addEventListener("open", mine(() => this.#opened()));
    socket.addEventListener("message", mine((event) => this.#received(event.data)));
    socket.addEventListener("close", mine((event) => this.#closed(event.code, event.reason)));
    this.#timers.connect = setTimeout(() => this.#closed(1006, "no answer"), CONNECT_TIMEOUT);
  }

  async #freshToken() {
    if (this.#token === null || this.#token.expires_at - TOKEN_SPARE < Date.now() / 1000) {
      this.#token = await this.#fetchToken();
    }
    return this.#token.token;
  }

  #opened() {
    clearTimeout(this.#timers.connect);
    this.#note("open");
    this.#timers.settle = setTimeout(() => { this.#attempts = 0; }, SETTLED_AFTER);
    this.#timers.ping = setInterval(() => this.#ping(), PING_INTERVAL);
    this.#enter("open");
  }

  #ping() {
    this.#write('{"type":"ping"}');
    clearTimeout(this.#timers.pong);
    this.#timers.pong = setTimeout(() => this.#closed(1006, "no answer to a ping"), PONG_TIMEOUT);
  }

  #received(data) {
    clearTimeout(this.#timers.pong);
    if (typeof data !== "string") {
      this.#frame("in", "(binary)");
      return;
    }
    this.#frame("in", data);
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #closed(code, reason) {
    const opened = this.state === "open";
    const why = code === 1006 && !opened ? UNREACHABLE : CLOSE_REASONS[code] ?? `the connection was closed with ${code}`;
    this.#note(`closed ${code}${reason ? ` (${reason})` : ""}`);
    this.#drop();
    if (code === 4401) this.#token = null;
    if (code === 4403) this.#enter("stopped", why);
    else this.#wait(why);
  }

  #wait(reason) {
    const pause = Math.min(FIRST_PAUSE * 2 ** this.#attempts, LONGEST_PAUSE);
    const delay = pause / 2 + Math.random() * (pause / 2);
    this.#attempts += 1;
    this.retryAt = Date.now() + delay;
    this.#timers.retry = setTimeout(() => this.#connect(), delay);
    this.#enter("waiting", reason);
  }

  // Forget the socket, whatever it still has to say, and all timers.
  #drop(code) {
    this.#round += 1;
    for (const name of Object.keys(this.#timers)) {
      clearTimeout(this.#timers[name]);
      this.#timers[name] = 0;
    }
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null && socket.readyState <= WebSocket.OPEN) socket.close(code);
  }

  #write(text) {
    this.#socket.send(text);
    this.#frame("out", text);
  }

  #frame(direction, text) {
    this.dispatchEvent(new CustomEvent("frame", { detail: { direction, text } }));
  }

  #note(text) {
    this.#frame("note", text);
  }

  #enter(state, reason = "") {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, reason } }));
  }
}
