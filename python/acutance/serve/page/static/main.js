// The page: what is open, what is asked of the server, and what the buttons do.

import { get, post, raw, remove } from "./api.js";
import { dropped, sendAll } from "./files.js";
import { keyList, listen } from "./keys.js";
import { facts } from "./facts.js";
import { Live } from "./live.js";
import { firstWindow, picture } from "./render.js";
import { Viewer } from "./viewer.js";
import { Work } from "./work.js";

const $ = (id) => document.getElementById(id);
const PRESETS = {
  CT: [["Abdomen", 50, 400], ["Lung", -600, 1500], ["Bone", 400, 1800], ["Brain", 40, 80], ["Mediastinum", 40, 350], ["Liver", 80, 150]],
};
const KEPT = 24; // pictures
const PAUSE = 120; // milliseconds that a slice is looked at before it is enhanced

const open = { series: new Map(), current: null, number: 0, run: null, state: null, fresh: false };
const kept = new Map();
let turn = 0; // of what was asked for last
let live = null;

const viewer = new Viewer({
  slice: (step) => go(step),
  windowed: () => ($("preset").value = "own"),
});
const work = new Work(say);

function say(text, kind = "") {
  const box = $("message");
  box.textContent = text;
  box.className = kind;
  box.hidden = !text;
  clearTimeout(say.timer);
  if (text) say.timer = setTimeout(() => (box.hidden = true), 9000);
}

function busy(text) {
  $("busy").hidden = !text;
  $("busy").querySelector("span").textContent = text || "";
}

async function keep(key, make) {
  if (!kept.has(key)) {
    kept.set(key, await make());
    while (kept.size > KEPT) kept.delete(kept.keys().next().value);
  }
  return kept.get(key);
}

const loadInput = (series, number) =>
  keep(`${series}/${number}`, async () => {
    const path = `/api/series/${series}/slices/${number}`;
    const [about, pixels] = await Promise.all([get(path), raw(`${path}/pixels`)]);
    return picture(about, pixels);
  });

const loadResult = (run, number) =>
  keep(`${run}/${number}`, async () => {
    const path = `/api/runs/${run}/slices/${number}`;
    const about = await get(path); // enhances it
    return { about, picture: picture(about.picture, await raw(`${path}/pixels`)) };
  });

const loadMap = (run, number, kind, input, result) =>
  keep(`${run}/${number}/${kind}`, async () => {
    const buffer = await raw(`/api/runs/${run}/slices/${number}/maps/${kind}`);
    const like = kind === "consistency" ? input : result;
    const shape = { rows: like.rows, cols: like.cols, channels: 1, slope: 1, intercept: 0, dtype: "float32" };
    return { ...picture(shape, buffer), scale: result.rows / input.rows / (kind === "consistency" ? result.rows / input.rows : 1) };
  });

// Show the current slice: the input at once, the rest when it is there. Only the last one asked for is shown.
async function refresh() {
  const { current, number } = open;
  if (!current) return;
  const mine = ++turn;
  const late = () => mine !== turn;
  try {
    const input = await loadInput(current.id, number);
    if (late()) return;
    const fresh = open.fresh;
    open.fresh = false;
    if (fresh) presets(input);
    if (fresh || !kept.has(`${open.run}/${number}`)) viewer.show({ input, fresh });
    if (!kept.has(`${open.run}/${number}`)) await new Promise((done) => setTimeout(done, PAUSE));
    if (late()) return; // whoever scrolls on does not want it enhanced
    if (!open.run) open.run = (await post("/api/runs", wanted(current))).id;
    const run = open.run;
    if (late()) return;
    const told = setInterval(() => tell(run), 1000);
    busy("Enhancing\u2026");
    const found = await loadResult(run, number).finally(() => clearInterval(told));
    if (late()) return;
    const overlay = found.about.bounded || $("overlay").value !== "uncertainty" ? $("overlay").value : "";
    const map = overlay ? await loadMap(run, number, overlay, input, found.picture) : null;
    if (late()) return;
    busy("");
    viewer.resultName = found.about.base ? "Enlarged (base)" : found.about.generative ? "Enhanced (generative)" : "Enhanced";
    viewer.show({ input, result: found.picture, scale: found.about.scale, map, overlay });
    describe(found.about);
    work.ready(current, run, number, () => [...viewer.window, viewer.inverted]);
    document.body.dataset.shown = `${run}/${number}/${overlay}`;
    if (number + 1 < current.slices) loadInput(current.id, number + 1).catch(() => {});
  } catch (e) {
    if (late()) return;
    busy("");
    say(e.message, "bad");
    if (e.status === 401) boot();
  }
}

async function tell(run) {
  const now = await get(`/api/runs/${run}`).catch(() => null);
  if (now?.state === "reading" && run === open.run) busy(`Reading the values of the series: ${now.done} of ${now.total}`);
}

function wanted(series) {
  const model = $("model").value;
  const own = model === "auto" || model === "base";
  return { series: series.id, model, scale: own ? Number($("scale").value) : null, guard: $("guard").value || null };
}

function pixel(spacing) {
  if (!spacing) return "not known";
  const [rows, cols] = spacing.map((v) => v.toFixed(3));
  return `${rows === cols ? rows : `${rows} \u00d7 ${cols}`} mm`;
}

function describe(about) {
  $("nothing").hidden = true;
  $("generative").hidden = !about.generative;
  $("base").hidden = !about.base;
  $("base").textContent = about.fell_back ? `Only the base, no network: ${about.fell_back}.` : "Only the base: no network was asked for.";
  const unit = about.picture.unit;
  const error = about.error === 0 ? "exact" : `off by up to ${Number(about.error.toPrecision(3))} ${unit}`.trim();
  facts($("facts"), [
    ["Model", about.base ? "base" : `${about.model} ${about.version}`],
    ["Ran on", about.base ? "core" : about.backend],
    ["Precision", about.precision],
    ["Time", `${about.milliseconds.toFixed(0)} ms`],
    ["Size", `${about.picture.cols} \u00d7 ${about.picture.rows}`],
    ["Pixel", pixel(about.picture.spacing)],
    ["Guard", about.guard],
    ["Block means", error],
    ["Uncertainty", about.bounded ? "yes" : "no"],
  ]);
  $("warnings").replaceChildren(
    ...about.warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })),
  );
  const model = open.state.models.find((m) => m.name === about.model);
  $("purpose").textContent = model ? model.purpose : "";
  $("overlay").querySelector("[value=uncertainty]").disabled = !about.bounded;
}

// Nothing is said of a picture that is not there yet.
function blank() {
  for (const id of ["generative", "base"]) $(id).hidden = true;
  $("nothing").hidden = false;
  for (const id of ["facts", "warnings"]) $(id).replaceChildren();
  $("purpose").textContent = "";
}

function presets(input) {
  const [centre, width] = firstWindow(input);
  const found = [[input.windowed ? "As in the file" : "By its values", centre, width], ...(PRESETS[input.modality] || [])];
  if (input.channels === 1) {
    const [low, high] = input.limits;
    found.push(["All values", (low + high) / 2, Math.max(high - low, 1e-6)]);
  }
  $("preset").disabled = false;
  $("preset").replaceChildren(...found.map(([name, c, w]) => new Option(name, `${c},${w}`)), new Option("Own", "own"));
}

function choose(series, number = 0) {
  live?.leave();
  Object.assign(open, { current: series, number, run: null, fresh: true });
  for (const item of $("series").children) item.firstChild.setAttribute("aria-pressed", String(item.dataset.id === series.id));
  $("welcome").hidden = true;
  $("scroll").hidden = series.slices < 2;
  $("slice").max = series.slices - 1;
  work.clear();
  blank();
  slider();
  refresh();
}

function slider() {
  $("slice").value = open.number;
  $("scroll-text").textContent = open.current ? `${open.number + 1} / ${open.current.slices}` : "";
}

function go(step) {
  if (!open.current || open.current.slices < 2) return false;
  const to = Math.min(open.current.slices - 1, Math.max(0, open.number + step));
  if (to !== open.number) {
    open.number = to;
    slider();
    refresh();
  }
  return true;
}

function listed(series) {
  open.series.set(series.id, series);
  const item = document.createElement("li"), button = document.createElement("button");
  item.dataset.id = series.id;
  button.type = "button";
  button.className = "card";
  button.setAttribute("aria-pressed", "false");
  const size = `${series.cols} \u00d7 ${series.rows}` + (series.slices > 1 ? `, ${series.slices} slices` : "");
  for (const [tag, text] of [["b", series.label], ["span", size], ...(series.name ? [["span", series.name]] : [])]) {
    button.append(Object.assign(document.createElement(tag), { textContent: text }));
  }
  button.addEventListener("click", () => choose(series));
  item.append(button);
  if (series.own) {
    const close = Object.assign(document.createElement("button"), { type: "button", className: "close", textContent: "\u00d7" });
    close.setAttribute("aria-label", `Close ${series.label} and delete it here`);
    close.addEventListener("click", () => closeSeries(series, item));
    item.append(close);
  }
  $("series").append(item);
}

async function closeSeries(series, item) {
  try {
    await remove(`/api/series/${series.id}`);
  } catch (e) {
    say(e.message, "bad");
  }
  item.remove();
  open.series.delete(series.id);
  kept.clear();
  if (open.current?.id !== series.id) return;
  turn++;
  busy("");
  work.clear();
  const next = open.series.values().next().value;
  if (next) {
    choose(next);
  } else {
    Object.assign(open, { current: null, run: null });
    viewer.show({ input: null });
    blank();
    $("welcome").hidden = false;
    $("scroll").hidden = true;
  }
}

async function take(files) {
  if (!files.length) return;
  if (files.length > open.state.files) say(`Only ${open.state.files} files at a time.`, "bad");
  busy(`Copying 0 of ${files.length}`);
  try {
    const failed = await sendAll(files.slice(0, open.state.files), (done) => busy(`Copying ${done} of ${files.length}`));
    busy("Reading headers\u2026");
    const found = await post("/api/series");
    found.series.forEach(listed);
    const left = [...failed, ...found.skipped];
    const more = left.length > 1 ? ` and ${left.length - 1} more` : "";
    if (left.length) say(`Left out: ${left[0].name} (${left[0].reason})${more}`, "bad");
    busy("");
    if (found.series.length) choose(found.series[0]);
  } catch (e) {
    busy("");
    say(e.message, "bad");
  }
}

function pressed() {
  for (const button of document.querySelectorAll("[data-mode]")) {
    button.setAttribute("aria-pressed", String(button.dataset.mode === viewer.mode));
  }
  $("smooth").setAttribute("aria-pressed", String(viewer.smooth));
}

const does = {
  mode(mode) {
    viewer.held = false;
    viewer.setMode(mode);
    pressed();
  },
  swap() {
    if (viewer.mode !== "flicker") does.mode("flicker");
    viewer.held = true;
    viewer.swap();
  },
  slice: go,
  divide: (step) => viewer.mode === "divider" && viewer.setPart(viewer.part + 0.02 * step),
  zoom: (factor) => viewer.zoom(factor),
  fit: () => viewer.fit(),
  preset(value) {
    $("preset").value = value || $("preset").options[0]?.value || "";
    const [centre, width] = $("preset").value.split(",").map(Number);
    if (width > 0) viewer.setWindow(centre, width);
  },
  window(shift, factor) {
    const [centre, width] = viewer.window;
    viewer.setWindow(centre + shift * width, width * factor);
    $("preset").value = "own";
  },
  invert() {
    viewer.inverted = !viewer.inverted;
    viewer.redraw();
  },
  smooth() {
    viewer.smooth = !viewer.smooth;
    pressed();
    viewer.redraw();
  },
  overlay(kind) {
    if ($("overlay").querySelector(`[value="${kind}"]`).disabled) {
      say("This model does not say how sure it is.");
      return;
    }
    $("overlay").value = kind;
    refresh();
  },
  stretch: (factor) => viewer.stretch(factor),
  help: () => $("keys").showModal(),
};

function wire() {
  listen(keyList(does));
  for (const button of document.querySelectorAll("[data-mode]")) button.onclick = () => does.mode(button.dataset.mode);
  $("smooth").onclick = does.smooth;
  $("fit").onclick = does.fit;
  $("help").onclick = does.help;
  $("preset").onchange = (e) => e.target.value !== "own" && does.preset(e.target.value);
  $("overlay").onchange = refresh;
  for (const id of ["model", "scale", "guard"]) {
    $(id).onchange = () => {
      lock();
      open.run = null;
      work.clear();
      refresh();
    };
  }
  $("slice").oninput = (e) => {
    open.number = Number(e.target.value);
    slider();
    refresh();
  };
  for (const [button, input] of [["files", "pick-files"], ["folder", "pick-folder"]]) {
    $(button).onclick = () => $(input).click();
    $(input).onchange = (e) => {
      take([...e.target.files]);
      e.target.value = "";
    };
  }
  let inside = 0;
  const drop = (shown) => ($("drop").hidden = !shown);
  document.addEventListener("dragenter", () => drop(++inside > 0));
  document.addEventListener("dragleave", () => drop(--inside > 0));
  document.addEventListener("dragover", (e) => e.preventDefault());
  document.addEventListener("drop", async (e) => {
    e.preventDefault();
    drop((inside = 0));
    take(await dropped(e.dataTransfer));
  });
  $("login-form").onsubmit = async (e) => {
    e.preventDefault();
    try {
      await post("/api/login", { token: $("token").value });
      $("token").value = "";
      $("login").close();
      boot();
    } catch (error) {
      $("login-wrong").textContent = error.message;
    }
  };
  $("login").addEventListener("cancel", (e) => e.preventDefault());
}

// A named model has its own scale.
function lock() {
  const model = open.state.models.find((m) => m.name === $("model").value);
  $("scale").disabled = Boolean(model);
  if (model) $("scale").value = String(model.scale);
  $("guard").querySelector("[value=box]").disabled = Boolean(model?.denoises);
  if (model?.denoises && $("guard").value === "box") $("guard").value = "";
}

async function enter() {
  try {
    return await get("/api/state");
  } catch (e) {
    if (e.status !== 401) throw e;
  }
  try {
    await post("/api/login");
    return await get("/api/state");
  } catch (e) {
    if (e.status !== 403) throw e;
    if (!$("login").open) $("login").showModal();
    return null;
  }
}

async function boot() {
  let state;
  try {
    state = await enter();
  } catch (e) {
    say(e.message, "bad");
    return;
  }
  if (!state) return;
  const before = open.state;
  open.state = state;
  kept.clear();
  if (!before) {
    const name = (m) => m.name + (m.generative ? " (generative)" : m.denoises ? " (denoises)" : "");
    $("model").replaceChildren(
      new Option("auto, by modality", "auto"), new Option("base, no network", "base"), ...state.models.map((m) => new Option(name(m), m.name)),
    );
    $("model").value = state.model;
    $("scale").value = String(state.scale || 2);
    $("guard").value = state.guard || "";
    if (state.live) live = new Live(showLive);
  }
  lock();
  $("series").replaceChildren();
  open.series.clear();
  state.series.forEach(listed);
  $("skipped").textContent = state.skipped ? `Left out, without a picture that is shown here: ${state.skipped}` : "";
  if (state.series.length) choose(state.series[0]);
  if (state.opening) {
    busy("Reading headers\u2026");
    setTimeout(boot, 700);
  } else if (!state.series.length) {
    busy("");
  }
}

function describeLive(about) {
  for (const id of ["nothing", "generative"]) $(id).hidden = true;
  $("base").hidden = !about.base;
  $("base").textContent = `Only the base${about.reason ? `: ${about.reason}` : ", no network"}.`;
  facts($("facts"), [
    ["Model", about.model],
    ["Age", `${about.age_ms.toFixed(1)} ms`],
    ["Picture", about.sequence],
    ["Size", `${about.picture.cols} \u00d7 ${about.picture.rows}`],
    ["Pixel", pixel(about.picture.spacing)],
  ]);
  $("warnings").replaceChildren();
  $("purpose").textContent = "";
}

function showLive(shown, about, fresh) {
  if (fresh) {
    turn++;
    Object.assign(open, { current: null, run: null });
    for (const item of $("series").children) item.firstChild.setAttribute("aria-pressed", "false");
    $("welcome").hidden = true;
    $("scroll").hidden = true;
    presets(shown);
    work.clear();
    busy("");
  }
  viewer.resultName = about.base ? "Live, base" : `Live, ${about.model}`;
  describeLive(about);
  viewer.show({ input: null, result: shown, fresh });
}

wire();
pressed();
boot();
