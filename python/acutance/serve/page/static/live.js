// Live streams: a card each, with the ages of the last pictures against the deadline.

import { get, raw } from "./api.js";
import { facts } from "./facts.js";
import { picture } from "./render.js";

const $ = (id) => document.getElementById(id);
const EVERY = 1000; // milliseconds between looks at the numbers
const PICTURES = 200; // and at the picture that is watched

export class Live {
  constructor(show) {
    this.show = show; // called with a picture and what is known of it
    this.cards = new Map();
    this.watched = null;
    this.last = -1;
    $("live").hidden = false;
    this._numbers();
    this._pictures();
  }

  leave() {
    this.watched = null;
    for (const card of this.cards.values()) card.button.setAttribute("aria-pressed", "false");
  }

  watch(name) {
    this.leave();
    this.watched = name;
    this.last = -1;
    this.cards.get(name)?.button.setAttribute("aria-pressed", "true");
  }

  async _numbers() {
    try {
      const streams = await get("/api/streams");
      for (const [name, card] of this.cards) {
        if (streams.some((s) => s.name === name)) continue;
        card.item.remove();
        this.cards.delete(name);
      }
      for (const stream of streams) this._card(stream);
    } catch {
      // the next look will tell
    }
    setTimeout(() => this._numbers(), EVERY);
  }

  async _pictures() {
    const name = this.watched;
    if (name) {
      try {
        const about = await get(`/api/streams/${encodeURIComponent(name)}/latest`);
        if (about.sequence !== this.last) {
          const pixels = await raw(`/api/streams/${encodeURIComponent(name)}/pixels`);
          if (this.watched === name && pixels.byteLength === bytes(about.picture)) {
            this.show(picture(about.picture, pixels), about, this.last < 0);
            this.last = about.sequence;
          }
        }
      } catch {
        // no picture yet, or the stream has ended
      }
    }
    setTimeout(() => this._pictures(), PICTURES);
  }

  _card(stream) {
    let card = this.cards.get(stream.name);
    if (!card) {
      card = { item: document.createElement("li"), button: document.createElement("button") };
      card.button.type = "button";
      card.button.className = "card";
      card.button.setAttribute("aria-pressed", "false");
      card.name = document.createElement("b");
      card.plot = Object.assign(document.createElement("canvas"), { width: 420, height: 88 });
      card.plot.setAttribute("role", "img");
      card.facts = document.createElement("dl");
      card.button.append(card.name, card.plot, card.facts);
      card.button.addEventListener("click", () => this.watch(stream.name));
      card.item.append(card.button);
      $("streams").append(card.item);
      this.cards.set(stream.name, card);
    }
    card.name.textContent = stream.name;
    const ms = (v) => (v === null ? "\u2013" : `${v.toFixed(v < 10 ? 1 : 0)} ms`);
    const sum = (reasons) => Object.values(reasons).reduce((a, b) => a + b, 0);
    facts(card.facts, [
      ["age, half of them", ms(stream.p50)],
      ["99 of 100", ms(stream.p99), stream.deadline_ms !== null && stream.p99 > stream.deadline_ms],
      ["deadline", ms(stream.deadline_ms)],
      ["in", stream.frames_in],
      ["out", stream.frames_out],
      ["late", stream.late, stream.late],
      ["only the base", sum(stream.base), sum(stream.base)],
      ["dropped", sum(stream.dropped), sum(stream.dropped)],
      ...(stream.nan ? [["not finite", stream.nan, true]] : []),
    ]);
    card.button.classList.toggle("bad", stream.health !== null);
    card.button.title = stream.health || "";
    plot(card.plot, stream);
  }
}

function bytes(about) {
  return about.rows * about.cols * about.channels * { uint8: 1, int16: 2, uint16: 2, float32: 4 }[about.dtype];
}

// Ages from left (older) to right, and the deadline as a line.
function plot(canvas, { ages, deadline_ms: deadline }) {
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  const top = Math.max(1, 1.15 * Math.max(deadline || 0, ...ages));
  const y = (v) => height - 2 - (v / top) * (height - 4);
  pen.clearRect(0, 0, width, height);
  pen.lineWidth = 2;
  const step = width / 240;
  ages.forEach((age, i) => {
    pen.fillStyle = deadline && age > deadline ? "#ffb454" : "#62c6cf";
    pen.fillRect(width - (ages.length - i) * step, y(age), Math.max(1, step), height - y(age));
  });
  if (deadline) {
    pen.strokeStyle = "#c7d0d9";
    pen.setLineDash([6, 4]);
    pen.beginPath();
    pen.moveTo(0, y(deadline));
    pen.lineTo(width, y(deadline));
    pen.stroke();
  }
  canvas.setAttribute("aria-label", `ages of the last ${ages.length} pictures`);
}
