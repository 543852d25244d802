// Brings the figures: by a WebSocket of the gateway's own, and by asking every two seconds while it is away.
// The key is the browser's affair (HTTP Basic); this script never sees it.

const POLL_MS = 2000;
const SILENCE_MS = 5000;
const ANSWER_MS = 8000;
const TICKET_OVER = 4401; // a feed lives a few minutes, then it wants a new ticket

// Without the login that the address may have been opened with: such addresses cannot be fetched.
export const BASE = `${location.origin}${location.pathname.replace(/\/+$/, "")}`;

export class Refused extends Error {}

export async function call(method, path, base = BASE) {
  const answer = await fetch(`${base}${path}`, {
    method,
    credentials: "same-origin",
    cache: "no-store",
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  if (answer.status === 401 || answer.status === 403) throw new Refused();
  return answer;
}

export async function ask(path) {
  const answer = await call("GET", path);
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

// onState: connecting, live, polling, away, refused.
export class Feed {
  constructor(onOverview, onState) {
    this.onOverview = onOverview;
    this.onState = onState;
    this.socket = null;
    this.heard = 0;
    this.wait = 1000;
    this.over = false;
  }

  start() {
    this.connect();
    this.poll();
    setInterval(() => {
      if (this.socket && performance.now() - this.heard > SILENCE_MS) this.socket.close();
      else if (!this.over && !this.live) this.poll();
    }, POLL_MS);
  }

  get live() {
    return this.socket !== null && this.socket.readyState === WebSocket.OPEN;
  }

  async connect() {
    try {
      const answer = await call("POST", "/ticket");
      if (!answer.ok) throw new Error(`${answer.status}`);
      const { ticket } = await answer.json();
      this.open(ticket);
    } catch (error) {
      if (error instanceof Refused) this.refuse();
      else this.again();
    }
  }

  open(ticket) {
    const socket = new WebSocket(`${BASE.replace(/^http/, "ws")}/feed`, ["bearer", ticket]);
    this.socket = socket;
    this.heard = performance.now();
    socket.onmessage = (message) => {
      this.heard = performance.now();
      this.wait = 1000;
      const frame = JSON.parse(message.data);
      if (frame.type !== "event") return;
      this.onState("live");
      this.onOverview(frame.payload);
    };
    socket.onclose = (closed) => {
      this.socket = null;
      if (closed.code === TICKET_OVER && this.wait === 1000) {
        this.wait = 2000; // at once, but only once: the next figures set it back
        this.connect();
      } else {
        this.poll();
        this.again();
      }
    };
  }

  again() {
    if (this.over) return;
    setTimeout(() => this.connect(), this.wait * (0.75 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, 30000);
  }

  async poll() {
    try {
      const overview = await ask("/overview");
      if (this.over || this.live) return;
      this.onState("polling");
      this.onOverview(overview);
    } catch (error) {
      if (error instanceof Refused) this.refuse();
      else if (!this.live) this.onState("away");
    }
  }

  refuse() {
    this.over = true;
    this.socket?.close();
    this.onState("refused");
  }
}
