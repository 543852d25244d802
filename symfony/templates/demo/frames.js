// The side panel: every frame as it travelled, and what happened to the connection.

const LIMIT = 400;
const SIGNS = { in: "\u2193", out: "\u2191", note: "\u2022" };
const WORDS = { in: "received", out: "sent", note: "note" };
const PING = /^\{"type":"(ping|pong)"\}$/;
const encoder = new TextEncoder();

export class FrameList {
  #list;

  constructor(list) {
    this.#list = list;
  }

  // Text is shown exactly as it travelled, never as markup.
  add(direction, text) {
    const follow = isAtEnd(this.#list);
    const item = document.createElement("li");
    item.className = `frame ${direction}`;
    if (PING.test(text)) item.classList.add("heartbeat");

    const sign = element("span", "sign", SIGNS[direction]);
    sign.setAttribute("aria-hidden", "true");
    const head = element("span", "frame-head", "");
    head.append(sign, element("time", "", clock(new Date())), element("span", "word", WORDS[direction]));
    if (direction !== "note") head.append(element("span", "size", `${encoder.encode(text).length} B`));
    item.append(head, element("code", "", text));

    this.#list.append(item);
    while (this.#list.childElementCount > LIMIT) this.#list.firstElementChild.remove();
    if (follow) this.#list.scrollTop = this.#list.scrollHeight;
  }

  clear() {
    this.#list.replaceChildren();
  }

  hidePings(hide) {
    this.#list.classList.toggle("quiet", hide);
  }

  // After the panel was hidden its place in the list is lost.
  showNewest() {
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

export function isAtEnd(box) {
  return box.scrollHeight - box.scrollTop - box.clientHeight < 60;
}

function clock(when) {
  const digits = (number, width) => String(number).padStart(width, "0");
  return [when.getHours(), when.getMinutes(), when.getSeconds()].map((part) => digits(part, 2)).join(":")
    + `.${digits(when.getMilliseconds(), 3)}`;
}
