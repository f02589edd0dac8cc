/**
 * The review of a report: keys or dragging give cells another class, the table follows at once.
 * @module report
 */
import { getFragment, postJson, uuid } from "./api.js";
import { listen, useKeys } from "./keys.js";
import { Live } from "./live.js";
import { _ } from "./messages.js";
import { localTimes } from "./times.js";
import { toast } from "./toast.js";

const MOVES = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
const UNDO = { keys: ["Ctrl+Z"], texts: ["Ctrl Z"], default: "Ctrl Z", words: "", own: false };
const CORRECTIONS = `/slides/${report().dataset.slide}/report/corrections`;

const done = []; // actions that can be taken back, oldest first
let waiting = Promise.resolve(); // corrections are saved one after the other
let unsaved = 0;
let stale = false; // something changed while corrections were being saved

function report() {
  return document.getElementById("report");
}

const cells = () => [...report().querySelectorAll(".cell[role]")];
const cellId = (cell) => Number(cell.dataset.cellId);
const selected = () => cells().filter((cell) => cell.getAttribute("aria-selected") === "true");
const focused = () => document.activeElement?.closest?.(".cell[role]") ?? null;
const say = (text) => { const place = document.getElementById("save-state"); if (place) place.textContent = text; };

/** What a key acts on: the selected cells, or the one with the frame. */
function targets() {
  const chosen = selected();
  return chosen.length ? chosen : [focused()].filter(Boolean);
}

function select(cell, on) {
  cell.setAttribute("aria-selected", String(on));
}

function focus(cell) {
  if (!cell) return;
  for (const each of cells()) each.tabIndex = each === cell ? 0 : -1;
  cell.focus({ preventScroll: true });
  // The bar of classes covers the top of the page.
  const covered = document.querySelector(".class-bar").getBoundingClientRect().bottom + 8;
  const { top, bottom } = cell.getBoundingClientRect();
  if (top < covered) scrollBy({ top: top - covered });
  else if (bottom > innerHeight) scrollBy({ top: bottom - innerHeight + 8 });
}

/** The cell below or above, whatever the galleries in between. */
function beyond(from, down) {
  const { left, top } = from.getBoundingClientRect();
  const places = cells().map((cell) => ({ cell, box: cell.getBoundingClientRect() }));
  const rows = places.filter(({ box }) => (down ? box.top > top + 1 : box.top < top - 1));
  if (!rows.length) return from;
  const next = down ? Math.min(...rows.map(({ box }) => box.top)) : Math.max(...rows.map(({ box }) => box.top));
  const row = rows.filter(({ box }) => Math.abs(box.top - next) < 2);
  return row.reduce((best, each) => (Math.abs(each.box.left - left) < Math.abs(best.box.left - left) ? each : best)).cell;
}

function move({ key, extend }) {
  const all = cells();
  const from = focused();
  if (!from) return focus(all[0]);
  const vertical = key === "ArrowUp" || key === "ArrowDown";
  const to = vertical ? beyond(from, key === "ArrowDown") : all[Math.min(Math.max(all.indexOf(from) + MOVES[key], 0), all.length - 1)];
  if (extend) [from, to].forEach((cell) => select(cell, true));
  return focus(to);
}

/** Give cells a class: they show it at once, are saved in turn, and move to their gallery when all is saved. */
function correct(chosen, code) {
  if (!chosen.length) return;
  const action = uuid();
  const items = chosen.map((cell) => ({ cell_id: cellId(cell), class: code }));
  const all = cells();
  const next = all.slice(all.indexOf(chosen.at(-1)) + 1).find((cell) => !chosen.includes(cell));
  for (const cell of chosen) {
    cell.dataset.classCode = code;
    cell.classList.add("is-saving");
    cell.querySelector("b").textContent = code;
    select(cell, false);
  }
  if (chosen.includes(focused())) focus(next ?? chosen.at(-1));
  save(async () => {
    await postJson(CORRECTIONS, { action, items });
    done.push(action);
  });
}

function undo() {
  const action = done.pop();
  if (!action) return toast(_("Nothing to undo."));
  return save(() => postJson(`/projects/${report().dataset.project}/actions/${action}/undo`, { action: uuid() }));
}

function save(step) {
  unsaved += 1;
  say(_("Saving…"));
  waiting = waiting
    .then(step)
    .catch((error) => toast(error.message, { kind: "error" }))
    .then(() => { unsaved -= 1; return refresh(); });
}

/** Read the report again, unless corrections are still on their way; the frame stays on its cell. */
async function refresh() {
  stale = unsaved > 0;
  if (stale) return;
  let page;
  try {
    page = await getFragment(location.pathname);
  } catch (error) {
    toast(error.message, { kind: "error" });
    return;
  }
  if (unsaved) return;
  const fresh = page.getElementById("report");
  const form = report().querySelector("textarea");
  const reason = form?.value;
  const had = focused();
  const at = had && cellId(had);
  report().replaceWith(document.adoptNode(fresh));
  localTimes(fresh);
  if (reason && fresh.querySelector("textarea")) fresh.querySelector("textarea").value = reason;
  begin();
  if (at) focus(fresh.querySelector(`.cell[data-cell-id="${at}"]`) ?? cells()[0]);
  say(_("Saved"));
}

/** Exactly one cell is reached by Tab. */
function begin() {
  const first = cells()[0];
  if (first) first.tabIndex = 0;
}

/** Where a dragged cell would be dropped: a class of the bar, or a gallery. */
const target = (event) => event.target.closest?.(".class-bar [data-class-code], .gallery[data-gallery]:not([data-gallery=''])");
const codeOf = (place) => place.dataset.classCode ?? place.dataset.gallery;
let dragged = [];

document.addEventListener("dragstart", (event) => {
  const cell = event.target.closest?.(".cell[role]");
  if (!cell) return;
  dragged = selected().includes(cell) ? selected() : [cell];
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.map(cellId).join(","));
});
document.addEventListener("dragover", (event) => {
  for (const place of document.querySelectorAll(".is-over")) place.classList.remove("is-over");
  const place = dragged.length && target(event);
  if (!place) return;
  event.preventDefault();
  place.classList.add("is-over");
});
document.addEventListener("dragend", () => {
  dragged = [];
  for (const place of document.querySelectorAll(".is-over")) place.classList.remove("is-over");
});
document.addEventListener("drop", (event) => {
  const place = dragged.length && target(event);
  if (!place) return;
  event.preventDefault();
  correct(dragged, codeOf(place));
  dragged = [];
});

document.addEventListener("click", (event) => {
  const button = event.target.closest(".class-bar [data-class-code]");
  if (button) return correct(targets(), button.dataset.classCode);
  const cell = event.target.closest(".cell[role]");
  if (!cell) return undefined;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.pointerType === "touch") select(cell, cell.getAttribute("aria-selected") !== "true");
  else for (const each of selected()) select(each, false);
  return focus(cell);
});

if (report().dataset.open !== undefined) {
  useKeys({ undo: UNDO });
  listen({
    move: (argument) => (cells().length ? move(argument) : false),
    classKey: (key) => {
      const button = [...document.querySelectorAll(".class-bar [data-key]")].find((each) => each.dataset.key === key);
      return button ? correct(targets(), button.dataset.classCode) : false;
    },
    escape: () => { for (const each of selected()) select(each, false); },
    help: () => false,
    undo,
  });
  begin();
}

const mine = (event) => event.slide_id === Number(report().dataset.slide);
new Live(report().dataset, { report: (event, known) => !known && mine(event) && refresh() }, {
  onGap: refresh,
  onState: (online) => { document.getElementById("live-state").hidden = online; },
});
