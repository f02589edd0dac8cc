/**
 * The labelling page: makes the parts and connects keys, buttons and events to them.
 * @module grid
 */
import { userName } from "./api.js";
import { Batches } from "./batches.js";
import { ClassPanel, parseCounts } from "./classes.js";
import { History } from "./history.js";
import { listen, withKeys } from "./keys.js";
import { KeySheet } from "./key_sheet.js";
import { Labeller } from "./labelling.js";
import { enableLasso } from "./lasso.js";
import { Live } from "./live.js";
import { _ } from "./messages.js";
import { Pages } from "./pages.js";
import { Place } from "./place.js";
import { Recent } from "./recent.js";
import { Review } from "./review.js";
import { SaveQueue } from "./save_queue.js";
import { Selection } from "./selection.js";
import { Stopwatch } from "./stopwatch.js";
import { Tiles } from "./tiles.js";
import { toast } from "./toast.js";
import { setSize, showActions, showClassifier, showEmbedding, showLiveState, showRange, showSaveState, showWaiting } from "./toolbar.js";
import { View } from "./view.js";
import { Zoom } from "./zoom.js";

const grid = document.getElementById("grid");
const scroller = document.getElementById("scroller");
const filters = document.getElementById("filters");
const { project } = grid.dataset;
const linked = location.hash.slice(1); // before it is taken out of the address

const tiles = new Tiles(grid);
const classes = new ClassPanel(document.getElementById("classes"), document.getElementById("target-note"));
const selection = new Selection(tiles, update);
const history = new History(`fiftycells.history/${userName()}/${project}`, update);
const queue = new SaveQueue({
  url: `/projects/${project}`,
  prefix: `fiftycells.queue/${userName()}/${project}/`,
  onState: showSaveState,
  onSaved: (entry, result) => { labeller.saved(entry, result); void recent.refresh(); },
  onRefused: (entry, error) => labeller.refused(entry, error),
});
const stopwatch = "timed" in grid.dataset ? new Stopwatch() : null;
const labeller = new Labeller({ tiles, classes, history, queue, stopwatch });
const recent = new Recent({ dialog: document.getElementById("recent"), project, queue, labeller });
const zoom = new Zoom(document.getElementById("zoom"), tiles, selection);
const pages = new Pages({ tiles, selection, queue, form: filters, scroller, onPage: pageChanged, onSignedOut: () => showLiveState("signed-out") });

const parts = { project, tiles, selection, pages, labeller };
const review = new Review({ ...parts, onChange: update });
const batches = new Batches({ ...parts, bar: document.getElementById("batch-bar"), review });

const keySheet = new KeySheet(document.getElementById("keys"), project);
const view = new View(document.getElementById("view-menu"));
const place = new Place({ tiles, selection, pages });

let updateAsked = false;

/** Bring the buttons up to date once before the next frame, however much has changed. */
function update() {
  if (updateAsked) return;
  updateAsked = true;
  requestAnimationFrame(() => {
    updateAsked = false;
    showActions({
      selected: selection.size,
      undoable: history.undoable,
      redoable: history.redoable,
      acceptable: labeller.acceptable(tiles.all()).length,
    });
    batches.show();
  });
}

function pageChanged() {
  showRange(grid, pages);
  showClassifier(grid.dataset);
  classes.set(parseCounts(grid.dataset.counts, Boolean(grid.dataset.version)));
  classes.setMeter(grid.dataset);
  showWaiting(grid.dataset);
  // The server's counts cannot know what is still on its way.
  for (const entry of queue.entries) if (!entry.reading) classes.adjust(entry.changes);
  place.remember();
  update();
}

/** Do something to the cells a key is meant for; afterwards the keyboard goes on to the next cell. */
function actByKey(act) {
  if (zoom.isOpen) {
    act([zoom.tile]);
    zoom.paint();
    update();
    return;
  }
  const targets = selection.targets();
  if (!targets.length) {
    toast(_("Point at a cell or move to one with the arrow keys first."));
    return;
  }
  const goOn = !selection.byPointer && targets.length === 1;
  act(targets);
  selection.clear();
  if (goOn) selection.focus(targets[0].nextElementSibling ?? targets[0]);
  update();
}

function move({ key, extend }) {
  if (zoom.isOpen) {
    zoom.move({ ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0);
    return;
  }
  const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
  selection.move(steps[key] ?? (key === "ArrowUp" ? -1 : 1) * tiles.columns(), extend);
}

function byClassKey(key) {
  const code = classes.byKey(key);
  if (!code) return false;
  actByKey((targets) => labeller.assign(targets, code));
  return true;
}

function acceptPage() {
  if (review.active) review.acceptPage();
  else labeller.accept(tiles.all());
}

const anyDialog = () => document.querySelector("dialog[open]") !== null;
/** A dialog that is not about cells. */
const sheetOpen = () => document.querySelector("dialog.sheet[open]:not(.zoom)") !== null;
/** Commands that have no meaning below an open dialog. */
const outsideDialogs = (act) => (argument) => (anyDialog() ? false : act(argument));

const acts = {
  move: (argument) => (sheetOpen() ? false : move(argument)),
  classKey: (key) => (sheetOpen() ? false : byClassKey(key)),
  accept: () => (sheetOpen() ? false : actByKey((targets) => labeller.accept(targets))),
  remove: () => (sheetOpen() ? false : actByKey((targets) => labeller.remove(targets))),
  undo: () => { labeller.undo(); zoom.paint(); },
  redo: () => { labeller.redo(); zoom.paint(); },
  zoom: (argument, event) => (sheetOpen() ? false : zoom.press(selection.targets()[0] ?? selection.focused, event)),
  help: () => keySheet.toggle(),
  recent: () => (recent.dialog.open || !anyDialog() ? void recent.toggle() : false),
  escape: outsideDialogs(() => selection.clear()),
  selectAll: outsideDialogs(() => selection.all()),
  nextBatch: outsideDialogs(() => void batches.next()),
  conflicts: outsideDialogs(() => void batches.conflicts()),
  second: outsideDialogs(() => void batches.second()),
  audit: outsideDialogs(() => void batches.audit()),
  adjudicate: outsideDialogs(() => void batches.adjudicate()),
  keep: () => (sheetOpen() ? false : actByKey((targets) => labeller.keep(targets))),
  similar: outsideDialogs(() => void batches.similar()),
  selectUntil: outsideDialogs(() => batches.selectUntil()),
  review: outsideDialogs(() => void review.begin()),
  pageRight: outsideDialogs(() => review.right()),
  pageWrong: outsideDialogs(() => review.wrong()),
  acceptUntil: outsideDialogs(() => void review.acceptUntil()),
  acceptPage: outsideDialogs(acceptPage),
  previousPage: outsideDialogs(() => pages.previous()),
  nextPage: outsideDialogs(() => pages.next()),
  smaller: outsideDialogs(() => setSize(-1)),
  larger: outsideDialogs(() => setSize(1)),
  darker: () => view.change("brightness", -1),
  brighter: () => view.change("brightness", 1),
  flatter: () => view.change("contrast", -1),
  crisper: () => view.change("contrast", 1),
  neutral: () => view.reset(),
};
listen(acts);

/** The command of a button: data-command="next-batch" does what the key of nextBatch does. */
const commandOfButton = (name) => (name === "keys" ? "help" : name.replace(/-(.)/g, (_whole, letter) => letter.toUpperCase()));

document.addEventListener("click", (event) => {
  const { command, size } = event.target.closest("[data-command], [data-size]")?.dataset ?? {};
  if (size) setSize(size);
  if (command) acts[commandOfButton(command)]?.();
});

document.getElementById("classes").addEventListener("click", (event) => {
  const button = event.target.closest(".class-button");
  if (!button) return;
  if (!selection.size) {
    toast(withKeys(_("Select cells first: click them, drag around them, or press Ctrl A.")));
    return;
  }
  labeller.assign(selection.selected, button.dataset.classCode);
  selection.clear();
});

for (const [id, turn] of [["previous-page", () => pages.previous()], ["next-page", () => pages.next()]]) {
  document.getElementById(id).addEventListener("click", (event) => {
    // With a modifier the link opens in a new tab, as links do.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    turn();
  });
}

// A choice made with the mouse gives the keyboard back: the next key is meant for a cell, not for the list.
filters.addEventListener("pointerdown", () => { filters.dataset.byPointer = ""; });
filters.addEventListener("keydown", () => { delete filters.dataset.byPointer; });
filters.addEventListener("change", (event) => { if ("byPointer" in filters.dataset) event.target.blur(); });

enableLasso(scroller, tiles, selection);
setSize(document.documentElement.dataset.tileSize);
pageChanged();
queue.start();
// The page of quality links to a batch by its command. No other command may be a link: they change labels.
if (["second", "audit", "adjudicate"].includes(linked)) acts[linked]();

new Live(
  grid.dataset,
  {
    labels: (event, known) => {
      if (queue.isOwn(event.action)) return;
      labeller.receive(event, known);
      void recent.refresh();
    },
    scores: ({ version }) => { if (String(version) !== grid.dataset.version) pages.refresh(); },
    metrics: () => pages.refresh(),
    embedding: showEmbedding,
  },
  {
    onGap: () => pages.refresh(),
    onState: (online) => {
      showLiveState(online ? "online" : "offline");
      if (!online) return;
      queue.retryNow(); // the server is back: no need to sit out the wait
      tiles.reloadImages();
    },
  },
);
addEventListener("online", () => tiles.reloadImages());
