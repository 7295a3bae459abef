// Stored values to screen pixels. All arithmetic is here, none of it in a library or on a GPU, so that what is seen is
// what is stored: windowed by the linear function of DICOM (PS3.3 C.11.2.1.2.1).

const ARRAYS = { uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, float32: Float32Array };
const BACKGROUND = pack(0, 0, 0);

function pack(r, g, b) {
  return (255 << 24) | (b << 16) | (g << 8) | r;
}

export function picture(about, buffer) {
  return { ...about, data: new ARRAYS[about.dtype](buffer) };
}

// The window a picture is shown in first. Colour is shown as it is.
export function firstWindow(p) {
  if (p.channels === 1) return [...p.window];
  const most = p.dtype === "uint16" ? 65536 : p.dtype === "uint8" ? 256 : Math.max(p.limits[1], 1e-6);
  return [most / 2, most];
}

export function shade(real, centre, width) {
  const t = width > 1 ? (real - (centre - 0.5)) / (width - 1) + 0.5 : (real - centre) / width + 0.5;
  return t <= 0 || Number.isNaN(t) ? 0 : t >= 1 ? 255 : Math.round(255 * t);
}

// Gray of every stored value, by its 16 bits; null for float pixels.
function table(p, window, inverted) {
  if (p.dtype === "float32") return null;
  const found = new Uint8Array(65536);
  const signed = p.dtype === "int16";
  const size = p.dtype === "uint8" ? 256 : 65536;
  for (let i = 0; i < size; i++) {
    const stored = signed && i > 32767 ? i - 65536 : i;
    const gray = shade(stored * p.slope + p.intercept, window[0], window[1]);
    found[i] = inverted ? 255 - gray : gray;
  }
  return found;
}

// For each screen column or row: the two samples that it lies between and how far it is from the first to the second.
function taps(first, count, middle, size, step, scale, samples, smooth) {
  const low = new Int32Array(count), high = new Int32Array(count), part = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const at = (middle + (first + i + 0.5 - size / 2) / step) * scale;
    if (at < 0 || at >= samples) {
      low[i] = -1;
    } else if (smooth) {
      const place = at - 0.5, floor = Math.floor(place);
      low[i] = Math.max(0, floor);
      high[i] = Math.min(samples - 1, floor + 1);
      part[i] = place - floor;
    } else {
      low[i] = high[i] = Math.floor(at);
    }
  }
  return { low, high, part };
}

// A part of the screen: columns [x0, x1) of a buffer `out` of `width` pixels a row, in the pane [left, left + pane) whose
// middle shows view.x; `dpr` device pixels make one CSS pixel.
export class Target {
  constructor(out, width, height, left, pane, x0, x1, view, dpr) {
    Object.assign(this, { out, width, height, left, pane, x0, x1, view, dpr });
  }

  taps(p, scale, smooth) {
    const { view, dpr } = this;
    const x = taps(this.x0 - this.left, this.x1 - this.x0, view.x, this.pane, view.zoom * view.aspect * dpr, scale, p.cols, smooth);
    const y = taps(0, this.height, view.y, this.height, view.zoom * dpr, scale, p.rows, smooth);
    return { x, y };
  }
}

export function draw(target, p, scale, window, inverted, smooth) {
  const grays = table(p, window, inverted);
  const { x, y } = target.taps(p, scale, smooth);
  const { out, width, x0, x1, height } = target;
  const { data, cols, channels, slope, intercept } = p;
  const gray = (v) => {
    if (grays) return grays[Math.round(v) & 0xffff];
    const g = shade(v * slope + intercept, window[0], window[1]);
    return inverted ? 255 - g : g;
  };
  for (let row = 0; row < height; row++) {
    const start = row * width + x0, top = y.low[row];
    if (top < 0) {
      out.fill(BACKGROUND, start, start + x1 - x0);
      continue;
    }
    if (!smooth && row && y.low[row - 1] === top) {
      out.copyWithin(start, start - width, start - width + x1 - x0);
      continue;
    }
    const a = top * cols, b = y.high[row] * cols, down = y.part[row];
    for (let i = 0, at = start; i < x1 - x0; i++, at++) {
      const l = x.low[i];
      if (l < 0) {
        out[at] = BACKGROUND;
      } else if (!smooth && channels === 1 && grays) {
        const g = grays[data[a + l] & 0xffff];
        out[at] = pack(g, g, g);
      } else if (channels === 1) {
        const g = gray(mix(data, a, b, l, x.high[i], x.part[i], down, 1, 0));
        out[at] = pack(g, g, g);
      } else {
        const [r, g, c] = [0, 1, 2].map((k) => gray(mix(data, a, b, l, x.high[i], x.part[i], down, 3, k)));
        out[at] = pack(r, g, c);
      }
    }
  }
}

function mix(data, a, b, l, h, across, down, step, channel) {
  const p = data[(a + l) * step + channel];
  if (across === 0 && down === 0) return p;
  const q = data[(a + h) * step + channel];
  const r = data[(b + l) * step + channel], s = data[(b + h) * step + channel];
  const upper = p + (q - p) * across, lower = r + (s - r) * across;
  return upper + (lower - upper) * down;
}

// Real values along each row of the target, handed to `each(row, values)`; NaN outside; colour as luma (BT.601).
function rows(target, p, scale, smooth, each) {
  const { x, y } = target.taps(p, scale, smooth);
  const values = new Float32Array(target.x1 - target.x0);
  const weights = p.channels === 1 ? [1] : [0.299, 0.587, 0.114];
  for (let row = 0; row < target.height; row++) {
    const a = y.low[row] * p.cols, b = y.high[row] * p.cols, down = y.part[row];
    for (let i = 0; i < values.length; i++) {
      const l = x.low[i];
      if (l < 0 || a < 0) {
        values[i] = NaN;
        continue;
      }
      let sum = 0;
      for (let k = 0; k < p.channels; k++) sum += weights[k] * mix(p.data, a, b, l, x.high[i], x.part[i], down, p.channels, k);
      values[i] = sum * p.slope + p.intercept;
    }
    each(row, values);
  }
}

// Blue below, orange above, by a value from -1 to 1: told apart by those who do not tell red from green.
const BELOW = [80, 160, 255], ABOVE = [255, 160, 50];

export function tint(t, signed) {
  const colour = signed && t < 0 ? BELOW : ABOVE;
  return [colour, Math.min(1, Math.abs(t))];
}

export function drawDifference(target, input, result, scale, range, smooth) {
  const { out, width, x0 } = target;
  const first = new Float32Array((target.x1 - x0) * target.height);
  rows(target, input, 1, smooth, (row, values) => first.set(values, row * values.length));
  rows(target, result, scale, smooth, (row, values) => {
    for (let i = 0; i < values.length; i++) {
      const d = values[i] - first[row * values.length + i];
      const [c, strength] = tint(d / range, true);
      out[row * width + x0 + i] = Number.isNaN(d) ? BACKGROUND : pack(c[0] * strength, c[1] * strength, c[2] * strength);
    }
  });
}

export function drawOverlay(target, map, scale, range, signed) {
  const { out, width, x0 } = target;
  rows(target, map, scale, false, (row, values) => {
    for (let i = 0; i < values.length; i++) {
      const at = row * width + x0 + i;
      const [c, strength] = tint(values[i] / range, signed);
      if (!(strength > 0.02)) continue;
      const part = 0.85 * strength, rest = 1 - part, under = out[at];
      out[at] = pack(
        (under & 255) * rest + c[0] * part,
        ((under >> 8) & 255) * rest + c[1] * part,
        ((under >> 16) & 255) * rest + c[2] * part,
      );
    }
  });
}

// The size that 995 of 1000 values do not pass, at least a little: where the colours of a map are full.
export function strongest(data) {
  const step = Math.max(1, Math.floor(data.length / 20000));
  const found = [];
  for (let i = 0; i < data.length; i += step) if (Number.isFinite(data[i])) found.push(Math.abs(data[i]));
  found.sort((a, b) => a - b);
  return Math.max(found[Math.floor(0.995 * (found.length - 1))] || 0, 1e-6);
}
