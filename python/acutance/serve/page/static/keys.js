// What keys do. One list: the help is made from it.

const $ = (id) => document.getElementById(id);

export const MOUSE = [
  ["Drag", "window: right wider, down darker"],
  ["Shift + drag", "move (also the middle button)"],
  ["Wheel", "next slice; zooms a single picture"],
  ["Ctrl + wheel", "zoom at the cursor"],
  ["Double click", "fit"],
];

// `does`: functions by name. Each entry: keys, what the help says, what is done.
export function keyList(does) {
  return [
    [["1"], "divider", () => does.mode("divider")],
    [["2"], "side by side", () => does.mode("side")],
    [["3"], "flicker", () => does.mode("flicker")],
    [["4"], "difference", () => does.mode("difference")],
    [[" "], "swap input and enhanced by hand", () => does.swap()],
    [["ArrowUp", "PageUp"], "slice before", () => does.slice(-1)],
    [["ArrowDown", "PageDown"], "slice after", () => does.slice(1)],
    [["ArrowLeft", "ArrowRight"], "move the divider", (e) => does.divide(e.key === "ArrowLeft" ? -1 : 1)],
    [["+", "="], "zoom in", () => does.zoom(1.25)],
    [["-"], "zoom out", () => does.zoom(0.8)],
    [["0"], "fit", () => does.fit()],
    [["w"], "window as at first", () => does.preset("")],
    [["j", "k"], "narrower, wider window", (e) => does.window(0, e.key === "j" ? 1 / 1.1 : 1.1)],
    [["u", "d"], "level down (brighter), up (darker)", (e) => does.window(e.key === "u" ? -0.05 : 0.05, 1)],
    [["i"], "invert", () => does.invert()],
    [["s"], "smooth or pixels", () => does.smooth()],
    [["n"], "no overlay", () => does.overlay("")],
    [["r"], "overlay: residual, what the network added", () => does.overlay("residual")],
    [["c"], "overlay: consistency, block means less input", () => does.overlay("consistency")],
    [["q"], "overlay: uncertainty, where the model has it", () => does.overlay("uncertainty")],
    [["[", "]"], "colours of overlay and difference: stronger, weaker", (e) => does.stretch(e.key === "[" ? 0.8 : 1.25)],
    [["?"], "this list", () => does.help()],
  ];
}

const NAMES = { " ": "Space", ArrowUp: "\u2191", ArrowDown: "\u2193", ArrowLeft: "\u2190", ArrowRight: "\u2192" };

export function listen(list) {
  for (const [keys, text] of [...list.map(([k, t]) => [k.map((x) => NAMES[x] || x), t]), ...MOUSE.map(([k, t]) => [[k], t])]) {
    const name = document.createElement("dt"), what = document.createElement("dd");
    for (const key of keys) {
      const mark = document.createElement("kbd");
      mark.textContent = key;
      name.append(mark);
    }
    what.textContent = text;
    $("key-list").append(name, what);
  }
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
    const on = e.target;
    if (on.matches("input, select, textarea")) return;
    if (on.matches("button") && (e.key === " " || e.key === "Enter")) return; // that presses it
    const found = list.find(([keys]) => keys.includes(e.key));
    if (!found) return;
    e.preventDefault();
    found[2](e);
  });
}
