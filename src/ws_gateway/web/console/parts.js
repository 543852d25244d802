// Small parts of the page: elements, words for numbers, lists that keep their rows, sparklines.
// Whatever comes from outside becomes text (textContent), never markup.

export const $ = (id) => document.getElementById(id);

export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== "") element.textContent = text;
  return element;
}

// Written only when it differs: whoever selects text keeps the selection.
export function say(element, text) {
  const words = String(text);
  if (element.textContent !== words) element.textContent = words;
}

// A list whose rows stay the same elements as long as their key stays: focus and selection survive updates.
export function keyed(parent, items, keyOf, create, update) {
  const rows = (parent.rowsByKey ??= new Map());
  const seen = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    if (seen.has(key)) continue;
    seen.add(key);
    let row = rows.get(key);
    if (!row) rows.set(key, (row = create(item)));
    update(row, item);
    if (row === place) place = place.nextElementSibling;
    else parent.insertBefore(row, place);
  }
  for (const [key, row] of rows) {
    if (!seen.has(key)) {
      row.remove();
      rows.delete(key);
    }
  }
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const count = (number) => (number >= 1e6 ? compact : whole).format(number);
export const rate = (number) => (number >= 1e5 ? compact : number < 10 ? tenth : whole).format(number);

export function bytes(number) {
  if (number < 1024) return `${whole.format(number)} B`;
  const units = ["KiB", "MiB", "GiB"];
  let unit = -1;
  do {
    number /= 1024;
    unit += 1;
  } while (number >= 1024 && unit < units.length - 1);
  return `${tenth.format(number)} ${units[unit]}`;
}

export function span(seconds) {
  if (seconds < 1) return seconds > 0 ? `${Math.round(seconds * 1000)} ms` : "0 s";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

// The gateway's clock, as far as we know: that of the person who looks may be wrong.
let ahead = 0;

export function learnTime(unixSeconds) {
  ahead = unixSeconds - Date.now() / 1000;
}

export function ago(unixSeconds) {
  const seconds = Date.now() / 1000 + ahead - unixSeconds;
  return seconds < 2 ? "now" : `${span(seconds).replace(/ [0-9]+ (min|h)$/, "")} ago`;
}

export const clock = (milliseconds) =>
  new Date(milliseconds).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 240;
const HEIGHT = 48;

// One figure over the last two minutes; new values come in at the right.
export class Sparkline {
  constructor(parent, names, points = 120) {
    this.points = points;
    this.series = names.map(() => []);
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("class", "spark");
    this.svg.setAttribute("role", "img");
    this.lines = names.map((name) => {
      const [area, line] = ["area", "line"].map((part) => {
        const path = document.createElementNS(SVG, "path");
        path.setAttribute("class", `${part} ${name}`);
        this.svg.append(path);
        return path;
      });
      return { area, line };
    });
    parent.append(this.svg);
  }

  // null is a gap: nothing is known of that second.
  add(values, label) {
    this.series.forEach((series, index) => {
      series.push(values[index]);
      if (series.length > this.points) series.shift();
    });
    const highest = Math.max(...this.series.flat().filter((value) => value !== null), 0);
    this.series.forEach((series, index) => this.draw(this.lines[index], series, highest || 1));
    this.svg.setAttribute("aria-label", `${label}, at most ${rate(highest)} in the last two minutes`);
  }

  draw({ area, line }, series, highest) {
    const step = WIDTH / (this.points - 1);
    const begin = WIDTH - (series.length - 1) * step;
    let stroke = "";
    let fill = "";
    let from = null;
    series.forEach((value, index) => {
      const x = (begin + index * step).toFixed(1);
      if (value === null) {
        if (from !== null) fill += `V${HEIGHT}H${from}Z`;
        from = null;
        return;
      }
      const y = (HEIGHT - 2 - (value / highest) * (HEIGHT - 6)).toFixed(1);
      stroke += `${from === null ? "M" : "L"}${x} ${y}`;
      fill += from === null ? `M${x} ${HEIGHT}L${x} ${y}` : `L${x} ${y}`;
      from ??= x;
    });
    if (from !== null) fill += `V${HEIGHT}H${from}Z`;
    line.setAttribute("d", stroke);
    area.setAttribute("d", fill);
  }
}
