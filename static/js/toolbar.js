/**
 * The lines above the grid: which page this is, what is selected, what can be undone, what is saved; size of the tiles.
 * @module toolbar
 */
import { _, number } from "./messages.js";

const SIZES = ["s", "m", "l"];
const byId = (id) => document.getElementById(id);

/** Write a text only where it differs: the same text again costs a layout, and is read out again. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Show where in the order this page is. */
export function showRange(grid, pages) {
  const first = Number(grid.dataset.offset) + 1;
  const count = grid.children.length;
  const total = number(grid.dataset.total);
  write(byId("range"), count ? _("%(range)s of %(total)s", { range: `${number(first)}–${number(first + count - 1)}`, total }) : _("No cells"));
  for (const [id, url] of [["previous-page", pages.previousUrl], ["next-page", pages.nextUrl]]) {
    if (url) byId(id).setAttribute("href", url);
    else byId(id).removeAttribute("href");
  }
}

/** Show which classifier made the predictions of this page. */
export function showClassifier({ version, accuracy, low, high, evaluated, labels }) {
  if (!version) return;
  const line = (tag, text, className = "") => Object.assign(document.createElement(tag), { textContent: text, className });
  const percent = (value) => number(Number(value) * 100, 1);
  const lines = [line("strong", _("Classifier %(version)s", { version }))];
  if (labels) lines.push(line("span", _("from %(count)s labels", { count: number(labels) }), "muted"));
  if (accuracy) lines.push(line("span", _("Balanced accuracy %(percent)s %%", { percent: percent(accuracy) })));
  if (accuracy && low) lines.push(line("span", _("95 %% interval %(low)s–%(high)s", { low: percent(low), high: percent(high) }), "muted"));
  if (accuracy && evaluated !== version) lines.push(line("span", _("evaluated with version %(version)s", { version: evaluated }), "muted"));
  byId("classifier").replaceChildren(...lines);
}

/** Show what waits for this person: second readings, the audit, adjudication. @param {DOMStringMap} counts */
export function showWaiting(counts) {
  for (const button of byId("waiting").children) {
    const count = counts[button.dataset.waiting];
    button.hidden = !Number(count);
    write(button.querySelector("b"), number(count));
  }
}

/** Show how many cells are ready for predictions. */
export function showEmbedding({ done, total }) {
  const note = byId("embedding");
  note.hidden = done >= total;
  note.querySelector(".done").textContent = number(done);
  note.querySelector(".total").textContent = number(total);
  Object.assign(note.querySelector("progress"), { max: Math.max(total, 1), value: done });
}

/** @param {import("./save_queue.js").QueueState} state */
export function showSaveState({ kind, text, href }) {
  const line = byId("save-state");
  line.dataset.state = kind;
  line.title = text;
  const words = Object.assign(document.createElement("span"), { textContent: text });
  line.replaceChildren(words);
  if (href) words.append(" ", signInLink());
}

const signInLink = () =>
  Object.assign(document.createElement("a"), { href: "/sign-in", target: "_blank", textContent: _("Sign in in a new tab") });

/** @param {"online"|"offline"|"signed-out"} state of the stream of events */
export function showLiveState(state) {
  const line = byId("live-state");
  if (state === "offline" && line.dataset.state === "signed-out") return; // the same, without the reason
  line.dataset.state = state;
  if (state === "signed-out") line.replaceChildren(_("You are signed out."), " ", signInLink());
  else write(line, state === "online" ? "" : _("Live updates paused, reconnecting…"));
}

/** Show what is selected and what the buttons can do now. */
export function showActions({ selected, undoable, redoable, acceptable }) {
  write(byId("selected"), selected ? _("%(count)s selected", { count: number(selected) }) : "");
  document.querySelector('[data-command="undo"]').disabled = !undoable;
  document.querySelector('[data-command="redo"]').disabled = !redoable;
  for (const button of document.querySelectorAll('[data-command="accept-page"]')) button.disabled = !acceptable;
}

/** Change the size of the tiles; the choice is kept in this browser. @param {string|number} choice a size, or a step */
export function setSize(choice) {
  const root = document.documentElement;
  const at = SIZES.indexOf(root.dataset.tileSize) + (typeof choice === "number" ? choice : 0);
  const size = typeof choice === "number" ? SIZES[Math.min(Math.max(at, 0), SIZES.length - 1)] : choice;
  root.dataset.tileSize = size;
  localStorage.setItem("fiftycells.tile-size", size);
  for (const button of document.querySelectorAll("[data-size]")) {
    button.setAttribute("aria-pressed", String(button.dataset.size === size));
  }
}
