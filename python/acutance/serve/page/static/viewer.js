// The stage: two pictures in one view, the divider between them, and what the mouse does.

import { View, pixelAt, placeOf, placeText, valueText, valuesAt } from "./geometry.js";
import { Target, draw, drawDifference, drawOverlay, firstWindow, strongest, tint } from "./render.js";

const $ = (id) => document.getElementById(id);
const SIGNED = { residual: true, consistency: true, uncertainty: false };

export class Viewer {
  constructor(told) {
    this.told = told; // { slice(step), changed() }
    this.canvas = $("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.view = new View();
    this.input = this.result = this.map = null;
    this.scale = 1;
    this.mode = "divider";
    this.overlay = "";
    this.part = 0.5; // of the width, left of the divider
    this.swapped = false; // flicker shows the result
    this.smooth = false;
    this.inverted = false;
    this.window = [128, 256];
    this.range = { difference: null, residual: null, consistency: null, uncertainty: null };
    this.cursor = null;
    this._asked = false;
    new ResizeObserver(() => this.resized()).observe($("stage"));
    this._mouse();
    this._divider();
    setInterval(() => this.mode === "flicker" && !this.held && this.result && this.swap(), 700);
  }

  // Show pictures; `fresh`: of another series, so that window and place start anew.
  show({ input, result = null, scale = 1, map = null, overlay = "", fresh = false }) {
    Object.assign(this, { input, result, scale: result ? scale : 1, map, overlay });
    const first = input || result;
    if (fresh && first) {
      this.window = firstWindow(first);
      this.inverted = first.inverted;
      this.range = { difference: null, residual: null, consistency: null, uncertainty: null };
      this.fit();
    }
    this.redraw();
  }

  get single() {
    return !(this.input && this.result);
  }

  get panes() {
    return this.mode === "side" && !this.single ? 2 : 1;
  }

  resized() {
    const dpr = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = $("stage");
    this.canvas.width = Math.max(1, Math.round(clientWidth * dpr));
    this.canvas.height = Math.max(1, Math.round(clientHeight * dpr));
    this.dpr = dpr;
    if (this.view.fitted) this.fit();
    this._paint(); // at once: a canvas of a new size is empty
  }

  fit() {
    const first = this.input || this.result;
    if (!first) return;
    this.view.fit(first, $("stage").clientWidth / this.panes, $("stage").clientHeight);
    this.redraw();
  }

  zoom(factor) {
    const pane = $("stage").clientWidth / this.panes;
    this.view.scale(factor, pane / 2, $("stage").clientHeight / 2, pane, $("stage").clientHeight);
    this.redraw();
  }

  setMode(mode) {
    const fitted = this.view.fitted;
    this.mode = mode;
    this.swapped = true;
    if (fitted) this.fit();
    this.redraw();
  }

  swap() {
    this.swapped = !this.swapped;
    this.redraw();
  }

  setPart(part) {
    this.part = Math.min(1, Math.max(0, part));
    this.redraw();
  }

  setWindow(centre, width) {
    this.window = [centre, Math.max(width, 1e-6)];
    this.redraw();
  }

  // Double or halve the values at which the colours of what is shown are full.
  stretch(factor) {
    const key = this.mode === "difference" ? "difference" : this.overlay;
    if (!key || !this._strength(key)) return;
    this.range[key] = this._strength(key) * factor;
    this.redraw();
  }

  redraw() {
    if (this._asked) return;
    this._asked = true;
    requestAnimationFrame(() => {
      this._asked = false;
      this._paint();
    });
  }

  _strength(key) {
    if (this.range[key]) return this.range[key];
    if (key === "difference") return this.input?.unit === "HU" ? 50 : Math.max(1e-6, 0.1 * this.window[1]);
    return this.map ? (this.range[key] = strongest(this.map.data)) : 0;
  }

  _paint() {
    const { width, height } = this.canvas;
    const started = performance.now();
    const image = this.context.createImageData(width, height);
    const out = new Uint32Array(image.data.buffer);
    out.fill(0xff000000);
    const first = this.input || this.result;
    if (first) {
      const target = (left, pane, x0, x1) => new Target(out, width, height, left, pane, x0, x1, this.view, this.dpr);
      const half = Math.floor(width / 2);
      if (this.single) {
        this._drawOne(target(0, width, 0, width), !this.input);
      } else if (this.mode === "side") {
        this._drawOne(target(0, half, 0, half), false);
        this._drawOne(target(half, width - half, half, width), true);
      } else if (this.mode === "flicker") {
        this._drawOne(target(0, width, 0, width), this.swapped);
      } else if (this.mode === "difference") {
        drawDifference(target(0, width, 0, width), this.input, this.result, this.scale, this._strength("difference"), this.smooth);
      } else {
        const split = Math.round(this.part * width);
        this._drawOne(target(0, width, 0, split), false);
        this._drawOne(target(0, width, split, width), true);
      }
    }
    this.context.putImageData(image, 0, 0);
    this.painted = performance.now() - started;
    this._label();
    this._readout();
  }

  _drawOne(target, isResult) {
    const p = isResult ? this.result : this.input;
    // A live picture has no input beside it: then it is its own.
    draw(target, p, isResult && this.input ? this.scale : 1, this.window, this.inverted, this.smooth);
    if (this.map && isResult) drawOverlay(target, this.map, this.map.scale, this._strength(this.overlay), SIGNED[this.overlay]);
  }

  _label() {
    const first = this.input || this.result;
    const panes = [$("pane-a"), $("pane-b")];
    const two = this.mode === "side" && !this.single;
    const names = { input: "Input", result: this.resultName || "Enhanced" };
    panes[0].hidden = !first;
    panes[1].hidden = !first || this.single || (this.mode !== "side" && this.mode !== "divider");
    for (const pane of panes) {
      pane.classList.toggle("half", two);
      const letters = !first?.plane || (pane === panes[1] && !two) ? ["", "", "", ""] : first.plane.letters;
      pane.querySelectorAll("i").forEach((mark, i) => (mark.textContent = letters[i]));
    }
    const left = this.single ? (this.input ? names.input : names.result)
      : this.mode === "flicker" ? (this.swapped ? names.result : names.input)
      : this.mode === "difference" ? "Enhanced \u2212 input" : names.input;
    panes[0].querySelector(".tag").textContent = left;
    panes[1].querySelector(".tag").textContent = names.result;
    const divider = $("divider");
    divider.hidden = this.single || this.mode !== "divider";
    divider.style.left = `${100 * this.part}%`;
    divider.setAttribute("aria-valuenow", String(Math.round(100 * this.part)));
    this._legend();
    const [centre, width] = this.window.map((v) => (Math.abs(v) >= 100 ? v.toFixed(0) : v.toPrecision(3)));
    $("at-window").textContent = first ? `W ${width}  L ${centre.replace("-", "\u2212")}` : "";
    $("at-zoom").textContent = first ? `${(100 * this.view.zoom).toFixed(0)} %` : "";
  }

  _legend() {
    const key = this.single ? "" : this.mode === "difference" ? "difference" : this.map ? this.overlay : "";
    $("legend").hidden = !key;
    if (!key) return;
    const range = this._strength(key), signed = key === "difference" || SIGNED[key];
    const ramp = $("ramp").getContext("2d");
    for (let i = 0; i < 160; i++) {
      const [c, s] = tint(signed ? (2 * i) / 159 - 1 : i / 159, signed);
      ramp.fillStyle = `rgb(${c.map((v) => Math.round(v * s)).join(",")})`;
      ramp.fillRect(i, 0, 1, 10);
    }
    const text = `${range.toPrecision(2)} ${this.input?.unit || ""}`.trim();
    $("legend-low").textContent = signed ? `\u2212${text}` : "0";
    $("legend-high").textContent = signed ? `+${text}` : text;
    $("legend-name").textContent = key;
  }

  // What lies under the cursor in both pictures.
  under(px, py) {
    const first = this.input || this.result;
    if (!first) return null;
    const stage = $("stage");
    const pane = stage.clientWidth / this.panes;
    const [x, y] = this.view.toInput(px % pane, py, pane, stage.clientHeight);
    const of = (p, scale) => {
      const at = p && pixelAt(p, scale, x, y);
      return at && { row: at[0], col: at[1], values: valuesAt(p, ...at), place: placeOf(p, ...at) };
    };
    return { input: of(this.input, 1), result: of(this.result, this.input ? this.scale : 1) };
  }

  _readout() {
    const found = this.cursor && this.under(...this.cursor);
    const unit = (this.input || this.result)?.unit || "";
    const text = (name, one) => (one ? `${name}  ${one.col}, ${one.row}:  ${valueText(one.values, unit)}` : "");
    $("at-input").textContent = found ? text("Input", found.input) : "";
    $("at-result").textContent = found ? text("Enhanced", found.result) : "";
    const place = (one) => (one?.place ? placeText(one.place) : "");
    const [a, b] = [place(found?.input), place(found?.result)];
    $("at-place").textContent = a && b && a !== b ? `${a} (enhanced ${b})` : a || b;
  }

  _mouse() {
    const { canvas } = this;
    let held = null;
    canvas.addEventListener("contextmenu", (e) => e.preventDefault());
    canvas.addEventListener("pointerdown", (e) => {
      canvas.focus({ preventScroll: true });
      if (e.button === 1) e.preventDefault();
      held = { x: e.clientX, y: e.clientY, pans: e.button === 1 || e.shiftKey, window: [...this.window] };
      canvas.setPointerCapture(e.pointerId);
    });
    canvas.addEventListener("pointermove", (e) => {
      const box = canvas.getBoundingClientRect();
      this.cursor = [e.clientX - box.left, e.clientY - box.top];
      if (!held) {
        this._readout();
        return;
      }
      const dx = e.clientX - held.x, dy = e.clientY - held.y;
      if (held.pans) {
        this.view.pan(dx, dy);
        held.x = e.clientX;
        held.y = e.clientY;
      } else {
        const [centre, width] = held.window; // right: wider, down: darker
        this.setWindow(centre + (dy * width) / 300, width * Math.exp(dx / 200));
        this.told.windowed();
      }
      this.redraw();
    });
    const end = () => (held = null);
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => {
      this.cursor = null;
      this._readout();
    });
    canvas.addEventListener("dblclick", () => this.fit());
    canvas.addEventListener("wheel", (e) => {
      e.preventDefault();
      if (e.ctrlKey || !this.told.slice(Math.sign(e.deltaY))) {
        const pane = $("stage").clientWidth / this.panes;
        const box = canvas.getBoundingClientRect();
        this.view.scale(Math.exp(-e.deltaY / 400), (e.clientX - box.left) % pane, e.clientY - box.top, pane, box.height);
        this.redraw();
      }
    }, { passive: false });
  }

  _divider() {
    const divider = $("divider");
    divider.addEventListener("pointerdown", (e) => {
      divider.setPointerCapture(e.pointerId);
      divider.focus();
      e.preventDefault();
    });
    divider.addEventListener("pointermove", (e) => {
      if (!divider.hasPointerCapture(e.pointerId)) return;
      const box = $("stage").getBoundingClientRect();
      this.setPart((e.clientX - box.left) / box.width);
    });
    divider.addEventListener("keydown", (e) => {
      const step = e.shiftKey ? 0.1 : 0.02;
      const to = { ArrowLeft: this.part - step, ArrowRight: this.part + step, Home: 0, End: 1 }[e.key];
      if (to === undefined) return;
      this.setPart(to);
      e.preventDefault();
      e.stopPropagation();
    });
  }
}
