// The chat page: who you are, who is there, what is said. Text is always set as text, never as markup.

import { Connection } from "./connection.js";
import { FrameList, element, isAtEnd } from "./frames.js";

const MOST_PENDING = 20;
const MOST_MESSAGES = 500;
const CONFIRM_WITHIN = 10000;
const SEND_GAP = 120;
const SETTLE = 5000;
const SAME_SPEAKER_WITHIN = 300;
const KEY = "ws-gateway-demo-name";

const $ = (id) => document.getElementById(id);
const wsUrl = document.querySelector('meta[name="ws-url"]').content;
const frames = new FrameList($("frame-list"));
const connection = new Connection(wsUrl, fetchToken);
const wide = window.matchMedia("(min-width: 62rem)");

let me = "";
let people = [];
let peopleKnownSince = Infinity;
let pending = [];
let lastSpeaker = { user: "", at: 0 };
let unread = 0;
let lastSent = 0;
let sendTimer = 0;

// --- who you are -------------------------------------------------------------------------------------------

async function fetchToken() {
  let answer;
  try {
    answer = await fetch(`token?user=${encodeURIComponent(me)}`, { cache: "no-store" });
  } catch {
    throw new Error("the demo backend does not answer");
  }
  if (answer.status === 400) throw new Connection.Refused("this name cannot be used");
  if (answer.status === 404) throw new Connection.Refused("the demo backend gives no tokens (DEMO_MODE)");
  if (!answer.ok) throw new Error(`the demo backend answered ${answer.status}`);
  const token = await answer.json();
  me = token.user_id;
  showMe();
  return token;
}

function join(name) {
  me = name;
  remember(name);
  showMe();
  $("join-view").hidden = true;
  for (const id of ["room-view", "status", "me", "frames-toggle"]) $(id).hidden = false;
  document.body.dataset.view = "room";
  showFrames(wide.matches);
  connection.open();
  $("text").focus();
}

function leave(reason = "") {
  connection.close();
  clearTimeout(sendTimer);
  sendTimer = 0;
  remember("");
  for (const message of pending) clearTimeout(message.timer);
  pending = [];
  people = [];
  peopleKnownSince = Infinity;
  lastSpeaker = { user: "", at: 0 };
  for (const id of ["log", "pending", "people"]) $(id).replaceChildren();
  frames.clear();
  $("empty").hidden = false;
  for (const id of ["room-view", "status", "me", "frames-toggle"]) $(id).hidden = true;
  $("join-view").hidden = false;
  document.body.dataset.view = "join";
  $("join-error").textContent = reason;
  $("name").value = me;
  $("name").focus();
}

function remember(name) {
  try {
    // For this tab only, so that two tabs can be two people.
    if (name) sessionStorage.setItem(KEY, name);
    else sessionStorage.removeItem(KEY);
  } catch {
    // A browser that stores nothing asks for the name again; that is all.
  }
}

function remembered() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

function showMe() {
  $("me-name").textContent = me;
  paint($("me-avatar"), me);
}

// --- the connection ----------------------------------------------------------------------------------------

function showState({ state, reason }) {
  $("status").dataset.state = state;
  const words = {
    idle: "Not connected",
    connecting: "Connecting\u2026",
    open: "Connected",
    waiting: `Reconnecting: ${reason}`,
    stopped: `Stopped: ${reason}`,
  };
  $("status-text").textContent = words[state];
  $("retry").hidden = state !== "waiting" && state !== "stopped";
  countDown();
  if (state === "open") {
    peopleKnownSince = Infinity;
    pump();
  } else {
    for (const message of pending) if (message.state === "sent") doubt(message, "Not confirmed");
    if (state === "stopped" && reason === "this name cannot be used") leave("This name cannot be used. Try another.");
  }
  document.body.classList.toggle("offline", state !== "open");
  showHint();
}

function countDown() {
  const left = connection.state === "waiting" ? Math.max(0, connection.retryAt - Date.now()) : 0;
  $("status-count").textContent = left > 0 ? `in ${Math.ceil(left / 1000)} s` : "";
  if (left > 0) setTimeout(countDown, Math.min(left, 250));
}

function receive(message) {
  if (message?.type === "rate_limited") {
    const newest = pending.filter((waiting) => waiting.state === "sent").at(-1);
    if (newest) doubt(newest, "Too fast: the gateway dropped it");
    return;
  }
  const payload = message?.type === "event" ? message.payload : null;
  if (payload === null || typeof payload !== "object") return;
  if (payload.type === "chat" && typeof payload.user === "string" && typeof payload.text === "string") said(payload);
  else if (payload.type === "presence" && Array.isArray(payload.users)) showPeople(payload.users);
  else system(`Pushed: ${JSON.stringify(payload)}`);
}

// --- who is there ------------------------------------------------------------------------------------------

function showPeople(users) {
  const before = new Set(people);
  people = users.filter((user) => typeof user === "string").map(nameOf);
  // Right after connecting everybody else comes back, too; that is no news.
  if (peopleKnownSince === Infinity) peopleKnownSince = Date.now();
  if (Date.now() - peopleKnownSince > SETTLE) {
    const now = new Set(people);
    for (const name of now) if (!before.has(name) && name !== me) system(`${name} joined`);
    for (const name of before) if (!now.has(name) && name !== me) system(`${name} left`);
  }
  $("people-count").textContent = people.length;
  $("people").replaceChildren(...people.map((name) => {
    const item = element("li", "person", "");
    item.dataset.user = name;
    const avatar = element("span", "avatar", "");
    avatar.setAttribute("aria-hidden", "true");
    paint(avatar, name);
    item.append(avatar, element("span", "name", name));
    if (name === me) item.append(element("span", "you", "you"));
    return item;
  }));
}

const nameOf = (user) => user.replace(/^user:/, "");

function paint(avatar, name) {
  let hue = 7;
  for (const sign of name) hue = (hue * 31 + sign.codePointAt(0)) % 360;
  avatar.style.setProperty("--hue", hue);
  avatar.textContent = [...name][0]?.toUpperCase() ?? "";
}

// --- what is said ------------------------------------------------------------------------------------------

function said({ user, text, ts }) {
  const name = nameOf(user);
  const mine = name === me;
  if (mine) confirm(text);
  const at = typeof ts === "number" ? ts : Date.now() / 1000;
  const again = lastSpeaker.user === user && at - lastSpeaker.at < SAME_SPEAKER_WITHIN;
  lastSpeaker = { user, at };

  const item = element("li", `message${mine ? " mine" : ""}${again ? " again" : ""}`, "");
  item.dataset.user = name;
  const avatar = element("span", "avatar", "");
  avatar.setAttribute("aria-hidden", "true");
  paint(avatar, name);
  const body = element("div", "body", "");
  const head = element("p", "head", "");
  const time = element("time", "", clock(at));
  time.dateTime = new Date(at * 1000).toISOString();
  head.append(element("span", "name", mine ? "You" : name), time);
  body.append(head, element("p", "text", text));
  item.append(avatar, body);
  append(item, mine);
  if (!mine && document.hidden) showUnread(unread + 1);
}

function system(text) {
  lastSpeaker = { user: "", at: 0 };
  append(element("li", "system", text), false);
}

function append(item, jump) {
  const follow = jump || isAtEnd($("scroll"));
  $("empty").hidden = true;
  $("log").append(item);
  while ($("log").childElementCount > MOST_MESSAGES) $("log").firstElementChild.remove();
  if (follow) toEnd();
  else $("jump").hidden = false;
}

function toEnd() {
  $("scroll").scrollTop = $("scroll").scrollHeight;
  $("jump").hidden = true;
}

function showUnread(count) {
  unread = count;
  document.title = (count ? `(${count}) ` : "") + "Chat through ws-gateway";
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

// --- what you say: kept here until it comes back from the backend ------------------------------------------

function say(text) {
  const message = { text, state: "waiting", timer: 0, item: element("li", "message mine", "") };
  const body = element("div", "body", "");
  message.note = element("span", "note", "");
  message.again = action("Send again", () => { message.state = "waiting"; showPending(message, ""); pump(); });
  message.discard = action("Discard", () => { remove(message); $("text").focus(); });
  const foot = element("p", "foot", "");
  foot.append(message.note, message.again, message.discard);
  body.append(element("p", "text", text), foot);
  message.item.append(body);
  pending.push(message);
  $("pending").append(message.item);
  $("empty").hidden = true;
  showPending(message, "");
  toEnd();
  pump();
}

function action(label, act) {
  const button = element("button", "plain", label);
  button.type = "button";
  button.addEventListener("click", act);
  return button;
}

// Sends what waits, one after the other, slowly enough for the gateway's rate limit.
function pump() {
  if (sendTimer || connection.state !== "open") return;
  const message = pending.find((waiting) => waiting.state === "waiting");
  if (!message) return;
  const pause = lastSent + SEND_GAP - Date.now();
  if (pause > 0) {
    sendTimer = setTimeout(() => { sendTimer = 0; pump(); }, pause);
    return;
  }
  lastSent = Date.now();
  if (!connection.send({ type: "chat", text: message.text })) return;
  message.state = "sent";
  message.timer = setTimeout(() => doubt(message, "Not confirmed"), CONFIRM_WITHIN);
  showPending(message, "");
  pump();
}

function confirm(text) {
  const message = pending.find((waiting) => waiting.state !== "waiting" && waiting.text === text);
  if (message) remove(message);
}

// It was sent, and nobody knows what became of it: sending it again is for the person to decide.
function doubt(message, why) {
  clearTimeout(message.timer);
  message.state = "unconfirmed";
  showPending(message, why);
}

function remove(message) {
  clearTimeout(message.timer);
  message.item.remove();
  pending = pending.filter((other) => other !== message);
  showHint();
}

function showPending(message, why) {
  const words = { waiting: "Waiting for the connection", sent: "Sending\u2026", unconfirmed: why };
  message.item.dataset.pending = message.state;
  message.note.textContent = words[message.state];
  message.again.hidden = message.state !== "unconfirmed";
  message.discard.hidden = message.state === "sent";
  showHint();
}

function showHint() {
  const full = pending.length >= MOST_PENDING;
  $("send").disabled = full;
  if (full) $("hint").textContent = "Enough is waiting. Your next message can go when these have gone.";
  else if (connection.state !== "open") $("hint").textContent = "Not connected. What you send now waits here and goes out by itself later.";
  else $("hint").textContent = "Enter sends, Shift+Enter makes a new line.";
}

function fitText() {
  const box = $("text");
  box.style.setProperty("height", "auto");
  box.style.setProperty("height", `${box.scrollHeight + 2}px`);
}

// --- the page ----------------------------------------------------------------------------------------------

function showFrames(show) {
  $("frames").hidden = !show;
  $("frames-toggle").setAttribute("aria-expanded", String(show));
  document.body.classList.toggle("with-frames", show);
  if (show) frames.showNewest();
  if (isAtEnd($("scroll"))) toEnd();
}

function closeFrames() {
  showFrames(false);
  $("frames-toggle").focus();
}

connection.addEventListener("state", (event) => showState(event.detail));
connection.addEventListener("frame", (event) => frames.add(event.detail.direction, event.detail.text));
connection.addEventListener("message", (event) => receive(event.detail));

$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("name").value.trim();
  $("join-error").textContent = name ? "" : "Type a name first.";
  if (name) join(name);
  else $("name").focus();
});
$("leave").addEventListener("click", () => leave());
$("retry").addEventListener("click", () => { connection.hurry(); $("text").focus(); });
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || pending.length >= MOST_PENDING) return;
  $("text").value = "";
  fitText();
  say(text);
  $("text").focus();
});
$("text").addEventListener("input", fitText);
$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});
$("scroll").addEventListener("scroll", () => { if (isAtEnd($("scroll"))) $("jump").hidden = true; });
$("jump").addEventListener("click", () => { toEnd(); $("text").focus(); });
$("frames-toggle").addEventListener("click", () => showFrames($("frames").hidden));
$("frames-close").addEventListener("click", closeFrames);
$("frames-clear").addEventListener("click", () => frames.clear());
$("frames-quiet").addEventListener("change", (event) => frames.hidePings(event.target.checked));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !$("frames").hidden && !wide.matches) closeFrames();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  showUnread(0);
  if (connection.state === "waiting") connection.hurry();
});
window.addEventListener("online", () => { if (connection.state === "waiting") connection.hurry(); });

const asked = new URLSearchParams(location.search);
$("name").value = asked.get("user") ?? asked.get("user_id") ?? "";
if (remembered()) join(remembered());
else $("name").focus();
