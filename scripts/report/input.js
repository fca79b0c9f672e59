// SPDX-License-Identifier: Apache-2.0

const PAGE_OF_SLICES = 5;
const ZOOM_STEP = 1.25;
const ZOOM_LIMIT = 16;
const WHEEL_NOTCH = 40; // pixels of wheel or trackpad travel that turn one slice

/* ---- what a reader can do ------------------------------------------------------------------------------------------ */

function goTo(slice) {
  state.slice = clamp(slice, 0, slices - 1);
  say(`Slice ${state.slice + 1} of ${slices}, ${millimetres(positions[state.slice])}`);
  refresh("pixels");
}

/** Change the zoom and keep the place under (x, y), CSS pixels in the box of a pane, where it is. */
function zoomTo(zoom, at = null, view = views[state.solo ?? 0]) {
  const { box } = view;
  const point = at ?? { x: box.width / 2, y: box.height / 2 };
  const before = placement(state.view, extent, box);
  const fixed = { x: (point.x - before.left) / before.scale, y: (point.y - before.top) / before.scale };
  state.view.zoom = clamp(zoom, 1, ZOOM_LIMIT);
  const { scale } = placement(state.view, extent, box);
  state.view.x = fixed.x - (point.x - box.width / 2) / scale;
  state.view.y = fixed.y - (point.y - box.height / 2) / scale;
  refresh();
}

function pan(dx, dy, view = views[state.solo ?? 0]) {
  const { scale } = placement(state.view, extent, view.box);
  state.view.x -= dx / scale;
  state.view.y -= dy / scale;
  refresh();
}

function fit() {
  state.view.zoom = 1;
  refresh();
}

function flicker(on = !state.flicker) {
  state.flicker = on;
  say(`Second image: ${panes[shownIn(SYNTHESIS)].title}`);
  refresh("pixels");
}

function compareWith(index) {
  state.against = index;
  refresh("pixels");
}

function otherComparison() {
  compareWith(others[(others.indexOf(state.against) + 1) % others.length]);
}

/** Show one pane large, or all again. */
function showOnly(index) {
  if (index >= panes.length) return;
  state.solo = state.solo === index ? null : index;
  for (const view of views) {
    view.root.hidden = state.solo !== null && view.index !== state.solo;
    view.large.setAttribute("aria-pressed", view.index === state.solo);
  }
  byId("panes").style.setProperty("--count", state.solo === null ? panes.length : 1);
  fitPanes();
  window.scrollTo(0, state.solo === null ? 0 : viewer.offsetTop);
  refresh("layout");
}

function smooth() {
  state.smooth = !state.smooth;
  refresh();
}

function uncertain(on = !state.uncertain) {
  if (!overlay) return;
  state.uncertain = on;
  say(on ? `Uncertainty is shown: ${settings.overlay.unit}` : "Uncertainty is not shown");
  refresh("pixels");
}

function reset() {
  fit();
  flicker(false);
  uncertain(false);
  for (const control of Object.values(windows)) control.pick(settings.default);
}

/* ---- keys ---------------------------------------------------------------------------------------------------------- */

const KEYS = {
  ArrowUp: () => goTo(state.slice - 1),
  ArrowDown: () => goTo(state.slice + 1),
  PageUp: () => goTo(state.slice - PAGE_OF_SLICES),
  PageDown: () => goTo(state.slice + PAGE_OF_SLICES),
  Home: () => goTo(0),
  End: () => goTo(slices - 1),
};
const LETTERS = {
  f: () => flicker(),
  w: () => Object.values(windows).forEach((control) => control.next()),
  i: smooth,
  u: () => uncertain(),
  r: reset,
  0: fit,
  "+": () => zoomTo(state.view.zoom * ZOOM_STEP),
  "=": () => zoomTo(state.view.zoom * ZOOM_STEP),
  "-": () => zoomTo(state.view.zoom / ZOOM_STEP),
  "?": () => byId("help").showModal(),
  1: () => showOnly(0),
  2: () => showOnly(1),
  3: () => showOnly(2),
};
const PANS = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };

/** A slider or list used by mouse gives the keyboard back, so that the arrows turn slices again. */
let pointed = null;
function onPointed(event) {
  pointed = event.target.closest("select, input[type=range]");
}

function onChanged(event) {
  if (event.target === pointed) event.target.blur();
}

function onKey(event) {
  pointed = null;
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const field = event.target.closest("input, select");
  if (field && field.id !== "slice") {
    if (event.key === "Enter") field.blur();
    if (event.key.length > 1 || field.type === "number" || field.tagName === "SELECT") return;
  }
  const away = byId("panes").getBoundingClientRect().bottom < 60; // below the images these keys scroll the page
  const letter = event.key.toLowerCase(); // with caps lock on, F is still f
  let act = null;
  if (event.shiftKey && PANS[event.key]) act = () => pan(...PANS[event.key]);
  else if (KEYS[event.key]) act = away ? null : KEYS[event.key];
  else if (state.keys) act = event.shiftKey && letter === "f" ? otherComparison : LETTERS[letter];
  if (!act) return;
  event.preventDefault();
  act();
}

/* ---- mouse, pen, touch ----------------------------------------------------------------------------------------------- */

let turned = 0;
function onWheel(event, view) {
  event.preventDefault();
  const delta = event.deltaY * [1, 40, 400][event.deltaMode];
  if (event.ctrlKey) {
    const corner = view.stage.getBoundingClientRect();
    const at = { x: event.clientX - corner.left, y: event.clientY - corner.top };
    zoomTo(state.view.zoom * Math.exp(-clamp(delta, -100, 100) / 250), at, view);
    return;
  }
  turned = Math.sign(turned) === Math.sign(delta) ? turned + delta : delta;
  if (Math.abs(turned) < WHEEL_NOTCH) return;
  goTo(state.slice + Math.sign(turned));
  turned = 0;
}

const last = { x: 0, y: 0 };
function onPointer(event, view) {
  const corner = view.stage.getBoundingClientRect();
  const { scale, left, top } = placement(state.view, extent, view.box);
  const place = { x: (event.clientX - corner.left - left) / scale, y: (event.clientY - corner.top - top) / scale };
  const inside = place.x >= 0 && place.y >= 0 && place.x < extent.width && place.y < extent.height;
  state.probe = inside ? place : null;
  const dx = event.clientX - last.x; // movementX counts other pixels in some browsers
  const dy = event.clientY - last.y;
  Object.assign(last, { x: event.clientX, y: event.clientY });
  const windowing = event.buttons === 2 || (event.buttons === 1 && event.shiftKey);
  if (event.buttons === 1 && !windowing) pan(dx, dy, view);
  if (windowing) {
    const control = windows[panes[shownIn(view.index)].contrast];
    control.set({ width: control.width * Math.exp(dx / 200), level: control.level + (dy * control.width) / 400 });
  }
  refresh();
}

function listen(view) {
  const { stage } = view;
  stage.addEventListener("wheel", (event) => onWheel(event, view), { passive: false });
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("dblclick", fit);
  stage.addEventListener("pointermove", (event) => onPointer(event, view));
  stage.addEventListener("pointerdown", (event) => {
    Object.assign(last, { x: event.clientX, y: event.clientY });
    if (event.pointerType !== "touch" || state.view.zoom > 1) stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointerleave", () => {
    state.probe = null;
    refresh();
  });
}
