// SPDX-License-Identifier: Apache-2.0

const SYNTHESIS = 1; // place of the synthesis among the panes

const byId = (id) => document.getElementById(id);
const settings = JSON.parse(byId("settings").textContent);
const { panes, slices, rows, columns, spacing, positions, plane, step, levels } = settings;
const extent = { width: columns * spacing[1], height: rows * spacing[0] };
const others = panes.map((_, index) => index).filter((index) => index !== SYNTHESIS);
const viewer = byId("viewer");
const overlay = settings.overlay ? new Overlay(settings.overlay, levels, step, byId("legend")) : null;

const state = {
  slice: Math.floor(slices / 2),
  view: { zoom: 1, x: extent.width / 2, y: extent.height / 2 },
  flicker: false,
  against: others.at(-1), // the acquired target where there is one, else the source
  smooth: true,
  uncertain: false,
  solo: null,
  probe: null,
  keys: true,
};
const views = [];
const windows = {};
let stacks = [];

/* ---- what is where ---------------------------------------------------------------------------------------------- */

/** Index of the stack that a pane shows now. */
const shownIn = (index) => (state.flicker && index === SYNTHESIS ? state.against : index);
/** Whether a pane shows the synthesis with its uncertainty over it. */
const isTinted = (index) => overlay !== null && state.uncertain && shownIn(index) === SYNTHESIS;
const millimetres = (value) => `${value < 0 ? "\u2212" : ""}${Math.abs(value).toFixed(1)} mm`;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/* ---- drawing: changes set marks, one frame does the work ----------------------------------------------------------- */

const stale = { pixels: true, layout: true };
let frame = 0;

function refresh(kind) {
  if (kind) stale[kind] = true;
  if (!frame) frame = requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  if (stale.layout) fitPanes();
  const room = views[state.solo ?? 0].box;
  clampView(state.view, extent, room);
  if (stale.pixels) paintPanes();
  stale.layout = false;
  for (const view of views) view.show(state.view, extent, state.smooth);
  drawProbe();
  writeState();
}

/** Paint all panes or, while one of their slices is still packed, none: two slices never stand side by side. */
function paintPanes() {
  if (!stacks.length) return;
  stale.pixels = false;
  const wanted = views.map((view) => stacks[shownIn(view.index)]);
  if (overlay) wanted.push(stacks[panes.length]);
  if (wanted.every((stack) => stack.get(state.slice))) views.forEach(paintPane);
  else Promise.all(wanted.map((stack) => stack.load(state.slice))).then(() => refresh("pixels"), fail);
}

function paintPane(view) {
  const index = shownIn(view.index);
  const { title, contrast, synthetic } = panes[index];
  const { table, text, preset } = windows[contrast];
  const pixels = stacks[index].get(state.slice);
  const values = isTinted(view.index) ? stacks[panes.length].get(state.slice) : null;
  view.paint(pixels, rows, columns, table, values && ((bytes) => overlay.tint(bytes, values)));
  view.name.textContent = title;
  view.name.title = title;
  view.note.textContent = index === view.index ? "" : `in place of ${panes[view.index].title}`;
  view.mark.hidden = !synthetic;
  view.root.classList.toggle("synthetic", synthetic);
  view.root.classList.toggle("swapped", index !== view.index);
  view.grey.textContent = preset === settings.default ? text : `${text}  ${preset || "changed"}`;
  view.grey.classList.toggle("altered", preset !== settings.default);
  const mark = synthetic ? "Synthetic. " : "";
  view.canvas.setAttribute("aria-label", `${mark}${title}, slice ${state.slice + 1} of ${slices}`);
}

function drawProbe() {
  for (const view of views) {
    const pixels = stacks.length && stacks[shownIn(view.index)].get(state.slice);
    let value = "";
    if (state.probe && pixels) {
      const row = Math.floor(state.probe.y / spacing[0]);
      const column = Math.floor(state.probe.x / spacing[1]);
      value = (pixels[row * columns + column] * step).toFixed(3);
      const values = isTinted(view.index) ? stacks[panes.length].get(state.slice) : null;
      if (values) value = `${value}  ${overlay.text(values[row * columns + column])}`;
    }
    view.probe(state.probe, state.view, extent, value);
  }
}

/** Give the panes the height that shows the whole image in true aspect and keeps the controls on the screen. */
function fitPanes() {
  const list = byId("panes");
  const { root } = views[state.solo ?? 0];
  const natural = (root.clientWidth * extent.height) / extent.width;
  const stacked = root.clientWidth > list.clientWidth * 0.9 && state.solo === null;
  const controls = viewer.querySelector(".dock").offsetHeight + root.firstElementChild.offsetHeight + 8;
  const above = state.solo === null ? viewer.offsetTop : 0; // a large image is scrolled to, past what stands above it
  const room = window.innerHeight - controls - (above > window.innerHeight / 2 ? 0 : above);
  const height = stacked ? Math.min(natural, window.innerHeight * 0.8) : Math.min(natural, Math.max(room, 280));
  list.style.setProperty("--stage", `${Math.round(height)}px`);
}

/** Controls, spoken text and machine-readable state follow the state. */
function writeState() {
  const place = `${state.slice + 1} / ${slices}`;
  byId("slice").value = state.slice + 1;
  byId("slice").setAttribute("aria-valuetext", `${place}, ${millimetres(positions[state.slice])}`);
  byId("place").textContent = `Slice ${place}   ${millimetres(positions[state.slice])}`;
  byId("zoom").textContent = `${Math.round(state.view.zoom * 100)} %`;
  byId("previous").disabled = state.slice === 0;
  byId("next").disabled = state.slice === slices - 1;
  byId("flicker").setAttribute("aria-pressed", state.flicker);
  byId("smooth").setAttribute("aria-pressed", state.smooth);
  byId("overlay").setAttribute("aria-pressed", state.uncertain);
  byId("legend").hidden = !state.uncertain;
  byId("against").value = state.against;
  byId("panes").classList.toggle("zoomed", state.view.zoom > 1);
  Object.assign(viewer.dataset, {
    slice: state.slice + 1,
    zoom: state.view.zoom.toFixed(3),
    centre: `${state.view.x.toFixed(2)} ${state.view.y.toFixed(2)}`,
    flicker: state.flicker,
    against: state.against,
    smooth: state.smooth,
    uncertain: state.uncertain,
    solo: state.solo === null ? "" : state.solo + 1,
    window: Object.entries(windows).map(([name, w]) => `${name} ${w.text}`).join("; "),
    drawn: views.every((view) => stacks.length && stacks[shownIn(view.index)].get(state.slice)),
  });
}

let speaking = 0;
function say(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => (byId("said").textContent = text), 300);
}

/* ---- start --------------------------------------------------------------------------------------------------------- */

function fail(error) {
  document.documentElement.classList.remove("js");
  byId("failure").textContent = `The images could not be unpacked in this browser (${error.message}). `
    + "It shows the middle slice in the fixed windows; a current Chrome, Edge, Firefox or Safari shows all.";
  byId("failure").hidden = false;
}

function build() {
  panes.forEach((pane, index) => {
    const view = new PaneView(byId("pane-template"), settings.edges, index);
    view.name.textContent = pane.title;
    view.large.textContent = index + 1;
    view.large.title = `Show this image large (key ${index + 1})`;
    view.large.setAttribute("aria-label", `Show ${pane.title} large`);
    view.large.setAttribute("aria-keyshortcuts", index + 1);
    view.large.addEventListener("click", () => showOnly(index));
    view.mark.hidden = !pane.synthetic;
    view.root.classList.toggle("synthetic", pane.synthetic);
    byId("panes").append(view.root);
    views.push(view);
    listen(view);
  });
  byId("panes").style.setProperty("--count", panes.length);
  byId("plane").textContent = plane;
  for (const [contrast, presets] of Object.entries(settings.presets)) {
    const changed = () => {
      const control = windows[contrast];
      if (!control) return;
      control.table = greyTable(levels, step, control);
      refresh("pixels");
    };
    windows[contrast] = new WindowControl(byId("window-template"), contrast, presets, settings.default, changed);
    changed();
    byId("windows").append(windows[contrast].root);
  }
  for (const index of others) byId("against").add(new Option(panes[index].title, index));
  byId("against-label").hidden = others.length < 2;
  byId("uncertain").hidden = byId("uncertain-key").hidden = overlay === null;
  byId("slice").max = slices;
  byId("slice").disabled = slices === 1;
}

function connect() {
  byId("slice").addEventListener("input", (event) => goTo(Number(event.target.value) - 1));
  byId("previous").addEventListener("click", KEYS.ArrowUp);
  byId("next").addEventListener("click", KEYS.ArrowDown);
  byId("flicker").addEventListener("click", () => flicker());
  byId("against").addEventListener("change", (event) => compareWith(Number(event.target.value)));
  byId("smooth").addEventListener("click", smooth);
  byId("overlay").addEventListener("click", () => uncertain());
  byId("zoom-in").addEventListener("click", LETTERS["+"]);
  byId("zoom-out").addEventListener("click", LETTERS["-"]);
  byId("fit").addEventListener("click", fit);
  byId("help-open").addEventListener("click", LETTERS["?"]);
  byId("help-close").addEventListener("click", () => byId("help").close());
  byId("keys-on").addEventListener("change", (event) => (state.keys = event.target.checked));
  byId("theme").addEventListener("click", () => {
    const light = document.documentElement.classList.toggle("light");
    byId("theme").textContent = light ? "Dark page" : "Light page";
  });
  document.addEventListener("keydown", onKey);
  document.addEventListener("pointerdown", onPointed);
  viewer.addEventListener("change", onChanged);
  new ResizeObserver(() => refresh("layout")).observe(document.body);
  window.addEventListener("resize", () => refresh("layout"));
}

/** Unpack the slices from the one on the screen outwards, so that scrolling never waits for long. */
async function unpackAll() {
  const order = [...Array(slices).keys()].sort((a, b) => Math.abs(a - state.slice) - Math.abs(b - state.slice));
  for (const slice of order) {
    await Promise.all(stacks.map((stack) => stack.load(slice)));
    if (slice === state.slice) refresh("pixels");
  }
  viewer.dataset.unpacked = "all";
}

document.documentElement.classList.add("js");
build();
connect();
refresh("layout");
document.addEventListener("DOMContentLoaded", () => {
  try {
    if (typeof DecompressionStream === "undefined") throw new Error("it has no DecompressionStream");
    stacks = [...document.querySelectorAll("[data-stack]")].map((text) => new Stack(text, slices, rows, columns));
    unpackAll().catch(fail);
  } catch (error) {
    fail(error);
  }
});
