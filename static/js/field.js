/**
 * The page of a field: choose cells in their place, label them, correct their boxes.
 * @module field
 */
import { getJson, postJson, uuid } from "./api.js";
import { Boxes, middle } from "./field_boxes.js";
import { listen, useKeys } from "./keys.js";
import { Live } from "./live.js";
import { _, ngettext, number } from "./messages.js";
import { toast } from "./toast.js";

const frame = document.getElementById("field");
const { field, project, cell: wanted } = frame.dataset;
const [width, height, redCell] = [frame.dataset.width, frame.dataset.height, frame.dataset.redCell].map(Number);
const RED_CELL_UM = 7.5;
const SCALES_UM = [5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
const LONGEST_SCALE = 180; // pixels on the screen
const CLOSE = 14; // red cells across the view when a cell is looked for
const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
const NUDGES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = {
  draw: "Shift+B", adjust: "Shift+M", remove: "Delete", save: "Enter", undo: "Ctrl+Z", whole: "Shift+F", closer: "+", farther: "-",
};

let cells = [];
let chosen = 0; // cell id
let pending = []; // {job, box, instead} that are being cut out, perhaps instead of a cell
let replaced = null; // the cell whose box the draft is
let awaited = null; // the box whose cell is chosen as soon as it is there
const done = []; // what takes back each step, oldest first
let waiting = Promise.resolve();

// OpenSeadragon adds a style sheet of its own unless it finds it, which the security policy forbids.
const noStyle = document.createElementNS("about:none", "style");
noStyle.setAttribute("data-openseadragon-mobile-css", "");
document.head.append(noStyle);
const viewer = OpenSeadragon({
  element: document.getElementById("viewer"),
  drawer: "canvas",
  showNavigationControl: false,
  showNavigator: Math.max(width, height) > 4000,
  navigatorPosition: "BOTTOM_RIGHT",
  gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
  maxZoomPixelRatio: 4,
  visibilityRatio: 0.3,
  animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.5,
  tileSources: {
    width, height, tileSize: Number(frame.dataset.tileSize), tileOverlap: Number(frame.dataset.overlap),
    getTileUrl: (level, x, y) => `/fields/${field}/tiles/${level}/${x}/${y}`,
  },
});
viewer.innerTracker.keyDownHandler = null; // the keys of the page are those of the page
viewer.innerTracker.keyHandler = null;
const boxes = new Boxes(document.getElementById("boxes"), viewer, { size: 2 * redCell, limits: [width, height], onChoose: choose });
viewer.addHandler("update-viewport", paintScale);

const element = (id) => document.getElementById(id);
const current = () => cells.find(({ cell_id: id }) => id === chosen);

function show() {
  boxes.show(cells, pending.map(({ box }) => box));
  element("box-count").textContent = ngettext("%(num)s cell", "%(num)s cells", cells.length);
  for (const button of document.querySelectorAll(".field-classes button")) {
    const code = button.dataset.classCode;
    button.querySelector(".box-count").textContent = number(cells.filter((cell) => (cell.class_code || cell.predicted) === code).length);
    button.setAttribute("aria-pressed", String(current()?.class_code === code));
  }
  describe();
}

function describe() {
  const cell = current();
  element("chosen").hidden = !cell;
  element("nothing-chosen").hidden = Boolean(cell);
  if (!cell) return;
  const url = `/cells/${cell.cell_id}/image`;
  if (element("chosen-image").getAttribute("src") !== url) element("chosen-image").src = url;
  element("chosen-title").textContent = _("Cell %(place)s of %(count)s", { place: cells.indexOf(cell) + 1, count: cells.length });
  element("chosen-label").textContent = cell.class_code ? _("%(code)s, labelled", { code: cell.class_code }) : _("not labelled");
  element("chosen-prediction").textContent = cell.predicted
    ? _("predicted %(code)s, confidence %(percent)s %%", { code: cell.predicted, percent: number(cell.confidence * 100, 1) })
    : cell.why;
}

/** Choose a cell; `look` moves the view to it. */
function choose(id, look = false) {
  if (boxes.draft) return;
  if (id) awaited = null;
  chosen = id;
  boxes.choose(id);
  show();
  const cell = current();
  if (!cell || !look) return;
  const [x, y] = middle(cell.box);
  const { viewport } = viewer;
  const across = Math.min(CLOSE * redCell, width);
  viewport.zoomTo(Math.max(viewport.getZoom(), viewport.imageToViewportZoom(frame.clientWidth / across)));
  viewport.panTo(viewport.imageToViewportCoordinates(new OpenSeadragon.Point(x, y)));
}

async function load() {
  try {
    const { cells: found } = await getJson(`/fields/${field}/cells`);
    pending = pending.filter(({ box: wanted }) => !found.some(({ box }) => String(box) === String(wanted)));
    cells = found.filter(({ cell_id: id }) => !pending.some(({ instead }) => instead === id));
    if (!current()) chosen = 0;
    show();
    const made = awaited && cells.find(({ box }) => String(box) === awaited);
    if (made) choose(made.cell_id);
  } catch (error) {
    toast(error.message, { kind: "error" });
  }
}

let timer = 0;
function refresh() {
  timer ||= setTimeout(async () => { timer = 0; await load(); }, 250);
}

function move({ key, extend }) {
  if (boxes.draft) return NUDGES[key] ? boxes.nudge(...NUDGES[key], extend) : false;
  if (!(key in STEPS) || !cells.length) return false;
  const at = cells.indexOf(current());
  const to = at < 0 ? 0 : Math.min(Math.max(at + STEPS[key], 0), cells.length - 1);
  return choose(cells[to].cell_id, true);
}

function edit(box, instead = null) {
  if (frame.dataset.signed !== undefined) return toast(_("The report of this slide is signed, so its boxes stay as they are."), { kind: "warning" });
  replaced = instead;
  boxes.edit(box);
  element("drawing").hidden = box === null;
  element("looking").hidden = box !== null;
  return frame.focus({ preventScroll: true });
}

/** Steps are saved one after the other, so that what is taken back is what was done last. */
function act(step) {
  waiting = waiting.then(step).catch((error) => {
    toast(error.message, { kind: "error" });
    return refresh();
  });
  return waiting;
}

/**
 * Do something that can be taken back.
 * @param {(action: string) => Promise<any>} step
 * @param {() => Promise<any>} [takeBack] where undoing the action would not do it
 */
function change(step, takeBack) {
  const action = uuid();
  const back = takeBack ?? (() => postJson(`/projects/${project}/actions/${action}/undo`, { action: uuid() }));
  done.push(back);
  return act(() => step(action).catch((error) => {
    done.splice(done.indexOf(back), 1);
    throw error;
  }));
}

function save() {
  const box = boxes.draft;
  if (!box) return false;
  const before = replaced;
  edit(null);
  awaited = String(box);
  const same = before && String(middle(before.box)) === String(middle(box)); // the same image, so the cell stays the one it is
  const place = (action, to) => cut({ action, box: to, replaces: before?.cell_id ?? null }, same ? null : before?.cell_id);
  return change((action) => place(action, box), same ? () => place(uuid(), before.box) : undefined);
}

/** Have a cell cut out; the one it comes instead of is not there any more. */
async function cut(wanted, instead) {
  const waits = { job: 0, box: wanted.box, instead };
  pending.push(waits);
  cells = cells.filter(({ cell_id: id }) => id !== instead);
  if (!current()) chosen = 0;
  show();
  try {
    ({ job_id: waits.job } = await postJson(`/fields/${field}/boxes`, wanted));
  } catch (error) {
    pending = pending.filter((each) => each !== waits);
    throw error;
  }
}

function remove() {
  const cell = current();
  if (!cell || boxes.draft) return false;
  const at = cells.indexOf(cell);
  cells = cells.filter((each) => each !== cell);
  choose(cells[Math.min(at, cells.length - 1)]?.cell_id ?? 0);
  return change((action) => postJson(`/fields/${field}/removals`, { action, cell_ids: [cell.cell_id] }));
}

function label(code) {
  const cell = current();
  if (!cell || boxes.draft) return false;
  cell.class_code = code;
  show();
  return change((action) => postJson(`/projects/${project}/annotations`, { action, items: [{ cell_id: cell.cell_id, class: code }] }));
}

function undo() {
  const takeBack = done.pop();
  if (!takeBack) return toast(_("Nothing to undo."));
  return act(async () => {
    await takeBack();
    await load();
  });
}

/** A bar of a round length that fits. */
function paintScale() {
  const pixels = viewer.viewport.viewportToImageZoom(viewer.viewport.getZoom()) * (redCell / RED_CELL_UM); // on the screen per µm
  const um = SCALES_UM.filter((each) => each * pixels <= LONGEST_SCALE).at(-1) ?? SCALES_UM[0];
  const bar = element("scale-bar").firstElementChild;
  bar.style.width = `${um * pixels}px`;
  bar.textContent = um < 1000 ? `${um} µm` : `${um / 1000} mm`;
}

const COMMANDS = {
  draw: () => edit(undefined),
  adjust: () => (current() && !boxes.draft ? edit(current().box, current()) : false),
  save,
  remove,
  undo,
  escape: () => (boxes.draft ? edit(null) : choose(0)),
  whole: () => { viewer.viewport.goHome(); },
  closer: () => { viewer.viewport.zoomBy(1.4); viewer.viewport.applyConstraints(); },
  farther: () => { viewer.viewport.zoomBy(1 / 1.4); viewer.viewport.applyConstraints(); },
};

useKeys(Object.fromEntries(Object.entries(KEYS).map(([name, key]) => [name, { keys: [key], texts: [key], default: key, own: false }])));
listen({
  ...COMMANDS,
  move,
  classKey: (key) => {
    const button = [...document.querySelectorAll(".field-classes [data-key]")].find((each) => each.dataset.key === key);
    return button ? label(button.dataset.classCode) : false;
  },
  help: () => false,
});
document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-command], .field-classes [data-class-code]");
  if (button?.dataset.command) COMMANDS[button.dataset.command]();
  else if (button) label(button.dataset.classCode);
});

new Live(frame.dataset, {
  field: ({ field_id: id }) => {
    if (id === Number(field)) refresh();
  },
  labels: refresh,
  scores: refresh,
  job: ({ id, state, message }) => {
    const failed = state === "dead" && pending.some(({ job }) => job === id);
    if (!failed) return;
    pending = pending.filter(({ job }) => job !== id);
    toast(_("The cell could not be cut out: %(reason)s", { reason: message }), { kind: "error" });
    refresh();
  },
}, { onGap: refresh, onState: (online) => { element("live-state").hidden = online; } });

viewer.addHandler("open", async () => {
  await load();
  if (wanted) choose(Number(wanted), true);
});
