// The status page: what the feed brings, the search, one connection in detail.

import { ask, call, BASE, Feed, Refused } from "./feed.js";
import { $, ago, bytes, clock, count, keyed, learnTime, make, rate, say, span, Sparkline } from "./parts.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const STATES = {
  connecting: "Connecting",
  live: "Live",
  polling: "Every 2 s",
  away: "No answer",
  refused: "Key refused: load again",
};
const TARGETS = { up: "up", waiting: "down", due: "down", probing: "down, trying" };
const DEADLINES = {
  ping: "ping",
  pong: "pong must come",
  token_expires: "token expires",
  too_old: "too old",
  drop: "cut",
};
const SAMPLE_MS = 500; // two figures that are closer say little of a second
const DETAIL_MS = 2000;
const PEOPLE_MS = 5000;
const PAGE = 25;

// --- tiles ---

class Tile {
  constructor(id, series) {
    const tile = $(id);
    this.values = series.map(({ name, unit }) => {
      const line = make("p", "value");
      this[name] = make("b", name, "–");
      line.append(this[name], make("span", "unit", unit));
      return line;
    });
    const values = make("div", "values");
    values.append(...this.values);
    tile.append(values);
    this.names = series.map(({ name }) => name);
    this.spark = new Sparkline(tile, this.names);
    this.label = tile.querySelector("h2").textContent;
  }

  show(values, words = rate) {
    this.names.forEach((name, index) => say(this[name], values[index] === null ? "–" : words(values[index])));
    this.spark.add(values, this.label);
  }
}

const tiles = {
  connections: new Tile("tile-connections", [{ name: "open", unit: "open" }]),
  messages: new Tile("tile-messages", [{ name: "in", unit: "per second" }]),
  deliveries: new Tile("tile-deliveries", [{ name: "out", unit: "per second" }]),
  churn: new Tile("tile-churn", [
    { name: "come", unit: "in / s" },
    { name: "go", unit: "out / s" },
  ]),
};

// Counters of two moments make a rate; after a restart of the gateway they begin anew.
let before = null;

function ratesSince(overview) {
  const totals = new Map(overview.rates.map((one) => [one.name, one.total]));
  const moment = { at: performance.now(), run: overview.started_at, totals };
  const former = before;
  before = moment;
  const known = former !== null && former.run === moment.run && moment.at > former.at;
  const seconds = known ? (moment.at - former.at) / 1000 : 1;
  return (name) =>
    known && totals.has(name) ? Math.max(0, (totals.get(name) - (former.totals.get(name) ?? 0)) / seconds) : null;
}

// --- the overview ---

function showOverview({ overview, queues, dead_letters: letters }) {
  learnTime(overview.started_at + overview.uptime_seconds);
  document.title = `${count(overview.connections)} · ${overview.node_id} · ws-gateway`;
  say($("node"), overview.node_id);
  const mode = overview.mode + (overview.events_mode ? `, events: ${overview.events_mode}` : "");
  say($("about"), `${overview.version} · ${mode} · up ${span(overview.uptime_seconds)}`);

  if (before === null || performance.now() - before.at >= SAMPLE_MS) showRates(overview);
  showChecks(overview);
  showQueues(queues);
  showDeadLetters(letters, overview.dead_letters);
  showSlow(queues);
  people.follow(overview.rates.filter(({ name }) => name.endsWith("connects")).map(({ total }) => total).join());
}

function showRates(overview) {
  const perSecond = ratesSince(overview);
  tiles.connections.show([overview.connections], count);
  tiles.messages.show([perSecond("messages")]);
  tiles.deliveries.show([perSecond("deliveries")]);
  tiles.churn.show([perSecond("connects"), perSecond("disconnects")]);
}

function showChecks(overview) {
  const wrong = overview.checks.filter((check) => check.status !== "ok");
  if (overview.draining) wrong.unshift({ name: "node", status: "degraded", detail: "it is about to stop" });
  $("checks").hidden = wrong.length === 0;
  keyed(
    $("checks"),
    wrong,
    (check) => check.name,
    () => {
      const row = make("li");
      row.append(make("b"), make("span"));
      return row;
    },
    (row, check) => {
      row.dataset.status = check.status;
      say(row.children[0], check.name);
      say(row.children[1], check.detail ? `${check.status}: ${check.detail}` : check.status);
    },
  );
}

function showQueues(queues) {
  say($("queued"), count(queues.events));
  say($("oldest"), queues.events ? span(queues.oldest_seconds) : "–");
  say($("queued-bytes"), bytes(queues.bytes));
  say($("queued-of"), `of ${bytes(queues.max_bytes)}`);
  const full = queues.max_bytes ? Math.min(1, queues.bytes / queues.max_bytes) : 0;
  const percent = `${(full * 100).toFixed(1)}%`;
  $("gauge").dataset.level = full > 0.8 ? "bad" : full > 0.5 ? "wait" : "good";
  $("gauge").setAttribute("aria-valuenow", Math.round(full * 100));
  $("gauge").firstElementChild.setAttribute("width", percent);
  $("no-sinks").hidden = queues.sinks.length > 0;
  keyed(
    $("sinks"),
    queues.sinks,
    (sink) => sink.name,
    () => {
      const row = make("li", "sink");
      const head = make("p", "line");
      head.append(make("b"), make("span", "pill"), make("span", "muted end"));
      row.append(head, make("p", "detail"));
      return row;
    },
    (row, sink) => {
      const [name, pill, numbers] = row.firstElementChild.children;
      const up = sink.target === "up";
      say(name, sink.name);
      say(pill, TARGETS[sink.target] ?? sink.target);
      pill.dataset.kind = up ? "good" : "bad";
      say(numbers, `${count(sink.waiting)} waiting, ${count(sink.in_flight)} under way`);
      say(row.lastElementChild, up ? "" : sink.detail);
    },
  );
}

function showDeadLetters(letters, kept) {
  say($("dead-count"), kept ? count(kept) : "");
  $("no-dead").hidden = letters.length > 0;
  $("dead").hidden = letters.length === 0;
  keyed(
    $("dead"),
    letters,
    (letter) => `${letter.sink} ${letter.event_id}`,
    (letter) => {
      const row = make("li", "letter");
      const head = make("p", "line");
      const more = make("button", "link", letter.type);
      more.addEventListener("click", () => detail.open(letter.connection_id));
      head.append(
        make("time", "muted", clock(letter.at_ms)),
        more,
        make("span", "muted end", `${letter.sink}, ${letter.reason === "refused" ? "refused" : `${letter.attempts} attempts`}`),
      );
      row.append(head, make("p", "detail", letter.detail));
      return row;
    },
    () => {},
  );
}

function showSlow(queues) {
  say($("slow-count"), queues.slow_count ? count(queues.slow_count) : "");
  $("no-slow").hidden = queues.slow_count > 0;
  keyed(
    $("slow"),
    queues.slow,
    (client) => client.connection_id,
    (client) => {
      const row = make("li", "line");
      const more = make("button", "link", client.user_id);
      more.addEventListener("click", () => detail.open(client.connection_id));
      row.append(more, make("span", "muted end"));
      return row;
    },
    (row, client) => say(row.lastElementChild, `${count(client.publications)} publications, ${bytes(client.bytes)}`),
  );
}

// --- who is connected ---

const people = {
  query: "",
  asked: 0,
  paged: false,
  cursor: null,
  shown: [],
  moves: null,

  // Whoever came or went changes the list, unless somebody turned pages.
  follow(moves) {
    const moved = this.moves !== null && this.moves !== moves;
    this.moves = moves;
    if (moved && !this.paged) this.load(null);
  },

  async search(query) {
    this.query = query;
    await this.load(null);
    if (UUID.test(query)) detail.open(query.toLowerCase());
  },

  async load(cursor) {
    const asked = ++this.asked;
    const words = new URLSearchParams({ limit: PAGE, ...(this.query && { q: this.query }), ...(cursor && { cursor }) });
    let page;
    try {
      page = await ask(`/who?${words}`);
    } catch (error) {
      if (error instanceof Refused) feed.refuse();
      else if (asked === this.asked) say($("found"), "no answer");
      return;
    }
    if (asked !== this.asked || page === null) return; // somebody typed on
    this.shown = cursor ? [...this.shown, ...page.connections] : page.connections;
    this.paged = cursor !== null;
    this.cursor = page.cursor;
    this.show(page.total);
  },

  show(total) {
    const shown = this.shown.length;
    say($("found"), shown < total ? `${count(shown)} of ${count(total)}` : count(total));
    $("people").hidden = shown === 0;
    $("nobody").hidden = shown > 0;
    say($("nobody"), this.query ? `Nobody here is or hears “${this.query}”.` : "Nobody is connected.");
    $("more").hidden = this.cursor === null;
    keyed(
      $("people").tBodies[0],
      this.shown,
      (one) => one.connection_id,
      (one) => {
        const row = make("tr");
        const user = make("td");
        const more = make("button", "link", one.user_id);
        more.setAttribute("aria-label", `${one.user_id}, connection ${one.connection_id}`);
        more.addEventListener("click", () => detail.open(one.connection_id));
        user.append(more);
        const subjects = make("td", "wide subjects", one.subjects.slice(0, 4).join(", "));
        if (one.subjects.length > 4) subjects.append(` and ${one.subjects.length - 4} more`);
        row.append(
          user,
          make("td", "wide mono muted", one.connection_id.slice(0, 8)),
          subjects,
          make("td", "time"),
          make("td", "time"),
          make("td", "wide mono muted", one.client_ip ?? "–"),
        );
        row.dataset.connection = one.connection_id;
        return row;
      },
      (row, one) => {
        say(row.children[3], ago(one.connected_at));
        say(row.children[4], ago(one.last_seen_at));
      },
    );
  },
};

let typing = 0;
$("query").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => people.search($("query").value.trim()), 300);
});
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  people.search($("query").value.trim());
});
$("more").addEventListener("click", () => people.load(people.cursor));

// --- one connection ---

const detail = {
  id: null,
  asked: 0,

  open(id) {
    this.id = id;
    $("with-text").checked = false;
    say($("detail-user"), "…");
    say($("detail-id"), id);
    say($("kick-result"), "");
    $("detail-state").hidden = true;
    $("detail-live").hidden = true;
    $("detail-gone").hidden = true;
    $("kick").hidden = true;
    keyed($("events"), [], () => "", () => null, () => {});
    $("no-events").hidden = true;
    if (!$("detail").open) $("detail").showModal();
    this.load();
  },

  async load() {
    const asked = ++this.asked;
    const id = this.id;
    let known;
    try {
      known = await ask(`/connections/${encodeURIComponent(id)}?text=${$("with-text").checked ? 1 : 0}`);
    } catch (error) {
      if (error instanceof Refused) feed.refuse();
      return;
    }
    if (asked !== this.asked || id !== this.id) return;
    this.showConnection(known?.connection ?? null);
    this.showEvents(known?.events ?? []);
  },

  showConnection(one) {
    $("detail-live").hidden = one === null;
    $("kick").hidden = one === null;
    $("detail-gone").hidden = one !== null;
    const pill = $("detail-state");
    pill.hidden = false;
    pill.dataset.kind = one?.state === "open" ? "good" : one ? "wait" : "off";
    say(pill, one?.state ?? "gone");
    if (one === null) {
      if ($("detail-user").textContent === "…") say($("detail-user"), "Connection");
      say($("detail-gone"), "It is not connected to this node (any more).");
      return;
    }
    say($("detail-user"), one.user_id);
    const use = (limit) => (limit.per_second ? `${Math.floor(limit.left)} of ${limit.burst} left` : "no limit");
    const facts = [
      ["Connected", ago(one.connected_at)],
      ["Last seen", ago(one.last_seen_at)],
      ["Address", one.client_ip ?? "none"],
      ["Token", one.token_source ? `from the ${one.token_source}` : "–"],
      ["Token expires", one.expires_at ? new Date(one.expires_at * 1000).toLocaleString("en-GB") : "never"],
      ["Speaks", `protocol ${one.protocol}${one.compressed ? ", compressed" : ""}`],
      ["Messages", count(one.messages)],
      ["May send", use(one.message_rate)],
      ["Too fast", one.max_excess ? `${one.excess} of ${count(one.max_excess)} in a row` : `${one.excess} in a row`],
      ["Waiting for it", `${count(one.queued)} of ${count(one.max_queued)}, ${bytes(one.queued_bytes)}`],
      ["Dropped", count(one.dropped)],
    ];
    keyed(
      $("facts"),
      facts,
      ([name]) => name,
      ([name]) => {
        const pair = make("div");
        pair.append(make("dt", "", name), make("dd"));
        return pair;
      },
      (pair, [, value]) => say(pair.lastElementChild, value),
    );
    const chips = [
      ...one.subjects.map((name) => ({ name, refused: false })),
      ...one.refused.map((name) => ({ name, refused: true })),
    ];
    keyed(
      $("subjects"),
      chips,
      (chip) => `${chip.refused} ${chip.name}`,
      (chip) => {
        const item = make("li", chip.refused ? "refused" : "", chip.name);
        if (chip.refused) item.append(make("span", "hidden", " (refused)"));
        return item;
      },
      () => {},
    );
    $("next").hidden = one.deadlines.length === 0;
    keyed(
      $("deadlines"),
      one.deadlines,
      (deadline) => deadline.name,
      () => make("li"),
      (item, deadline) =>
        say(item, `${DEADLINES[deadline.name] ?? deadline.name} in ${span(Math.max(0, deadline.seconds))}`),
    );
  },

  showEvents(events) {
    $("no-events").hidden = events.length > 0;
    keyed(
      $("events"),
      [...events].reverse(),
      (event) => event.event_id || `${event.at_ms} ${event.type} ${event.seq}`,
      (event) => {
        const row = make("li", "event");
        const head = make("p", "line");
        head.append(
          make("time", "muted", clock(event.at_ms)),
          make("b", "", event.type),
          make("span", "muted", event.type === "message_received" ? `#${event.seq}, ${count(event.size)} characters` : `#${event.seq}`),
          make("span", "pill end"),
        );
        row.append(head, make("p", "mono said"));
        return row;
      },
      (row, event) => {
        const pill = row.querySelector(".pill");
        const bad = !["taken", "waiting", "not_sent"].includes(event.outcome);
        say(pill, event.outcome.replaceAll("_", " "));
        pill.dataset.kind = event.outcome === "taken" ? "good" : bad ? "bad" : event.outcome === "waiting" ? "wait" : "off";
        say(row.lastElementChild, event.text ?? "");
      },
    );
  },
};

$("with-text").addEventListener("change", () => detail.load());
$("detail-close").addEventListener("click", () => $("detail").close());
$("detail").addEventListener("close", () => {
  detail.id = null;
});
$("detail").addEventListener("click", (event) => {
  if (event.target === $("detail")) $("detail").close(); // beside the drawer
});

$("kick").addEventListener("click", () => {
  say($("confirm-what"), `${$("detail-user").textContent}, connection ${detail.id}`);
  $("confirm").returnValue = "cancel";
  $("confirm").showModal();
});
$("confirm").addEventListener("close", async () => {
  if ($("confirm").returnValue !== "kick" || detail.id === null) return;
  say($("kick-result"), "…");
  try {
    const path = `/connections/${encodeURIComponent(detail.id)}`;
    const answer = await call("DELETE", path, BASE.replace(/\/console$/, ""));
    say($("kick-result"), answer.ok ? "It was told to close." : "It is gone already.");
    detail.load();
    people.load(null);
  } catch {
    say($("kick-result"), "That did not work.");
  }
});

// --- begin ---

const feed = new Feed(showOverview, (state) => {
  $("state").dataset.state = state;
  document.body.dataset.state = state;
  say($("state"), STATES[state]);
});
feed.start();
people.load(null);
setInterval(() => {
  if (!feed.over && detail.id !== null) detail.load();
}, DETAIL_MS);
setInterval(() => {
  if (!feed.over && !people.paged) people.load(null);
}, PEOPLE_MS);
