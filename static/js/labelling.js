/**
 * Giving, accepting, removing, undoing labels: tiles change at once, the queue saves.
 * @module labelling
 */
import { userName, uuid } from "./api.js";
import { _, ngettext } from "./messages.js";
import { annotation, cellId, paintAnnotation } from "./tiles.js";
import { toast } from "./toast.js";

const NONE = { class: "", source: "", by: "" };
const DOING = {
  undo: (count) => ngettext("Taking back the label of %(num)s cell.", "Taking back the labels of %(num)s cells.", count),
  redo: (count) => ngettext("Labelling %(num)s cell again.", "Labelling %(num)s cells again.", count),
};
const DONE = {
  undo: (count) => ngettext("Took back the label of %(num)s cell.", "Took back the labels of %(num)s cells.", count),
  redo: (count) => ngettext("Labelled %(num)s cell again.", "Labelled %(num)s cells again.", count),
};
const notChanged = (count, people) =>
  people
    ? ngettext("%(num)s cell not changed: labelled meanwhile by %(people)s.", "%(num)s cells not changed: labelled meanwhile by %(people)s.", count, { people })
    : ngettext("%(num)s cell not changed: labelled again since.", "%(num)s cells not changed: labelled again since.", count);

/** What a person does to cells. */
export class Labeller {
  /**
   * @param {object} parts
   * @param {import("./tiles.js").Tiles} parts.tiles
   * @param {import("./classes.js").ClassPanel} parts.classes
   * @param {import("./history.js").History} parts.history
   * @param {import("./save_queue.js").SaveQueue} parts.queue
   * @param {import("./stopwatch.js").Stopwatch|null} parts.stopwatch none where decisions are not timed
   */
  constructor(parts) {
    Object.assign(this, parts);
  }

  /** Give a class to tiles. @param {HTMLElement[]} tiles @param {string} code @param {"label"|"accepted"} [source] */
  assign(tiles, code, source = "label") {
    this.classes.flash(code);
    return this.#apply(source, tiles, () => ({ class: code, source, by: userName() }));
  }

  /** Give labels again that others contradict: they are not called into question any more. @param {HTMLElement[]} tiles */
  keep(tiles) {
    const labelled = tiles.filter((tile) => tile.dataset.class);
    const kept = this.#apply("kept", labelled, (tile) => ({ class: tile.dataset.class, source: "kept", by: userName() }));
    if (kept) toast(ngettext("Kept the label of %(num)s cell.", "Kept the label of %(num)s cells.", kept));
    return kept;
  }

  /** Remove the labels of tiles. @param {HTMLElement[]} tiles */
  remove(tiles) {
    return this.#apply("label", tiles.filter((tile) => tile.dataset.class), () => NONE);
  }

  /** Make the predictions of tiles their labels. Labelled tiles keep theirs. @param {HTMLElement[]} tiles */
  accept(tiles) {
    const open = this.acceptable(tiles);
    if (!open.length && tiles.length) toast(_("Nothing to accept: these cells are labelled or have no prediction."));
    return this.#apply("accepted", open, (tile) => ({ class: tile.dataset.predicted, source: "accepted", by: userName() }));
  }

  /** @returns {HTMLElement[]} those without a label and with a prediction @param {HTMLElement[]} tiles */
  acceptable(tiles) {
    return tiles.filter((tile) => !tile.dataset.class && tile.dataset.predicted);
  }

  /** Take back the last step. */
  undo() {
    const step = this.history.undo();
    return step ? this.#replay("undo", step) : toast(_("Nothing to undo."));
  }

  /** Do again what was taken back last. */
  redo() {
    const step = this.history.redo();
    return step ? this.#replay("redo", step) : toast(_("Nothing to redo."));
  }

  /** Take back any action of this person, or do it again. @param {"undo"|"redo"} how @param {string} action @param {number} count */
  replay(how, action, count) {
    this.#replay(how, this.history[how](action) ?? { action, changes: [], bulk: count });
  }

  /**
   * Show labels of other people, and of our other tabs.
   * @param {{by: string, source?: string, items: object[]}} event
   * @param {boolean} [known] the counts hold them already
   */
  receive({ by, source, items, unseen = false }, known = false) {
    const changes = [];
    for (const item of items) {
      if (this.queue.isPending(item.cell_id)) continue;
      const after = { class: item.class ?? "", source: item.source ?? source ?? "label", by: item.by ?? by };
      const tile = this.tiles.get(item.cell_id);
      changes.push({ cell_id: item.cell_id, before: tile ? annotation(tile) : NONE, after });
      if (tile) paintAnnotation(tile, after);
    }
    if (!unseen && !known) this.classes.adjust(changes); // the server's next counts have them apart
  }

  /** A step was saved; cells that someone else labelled meanwhile were left alone. */
  saved(entry, { skipped = [], items = [], saved, job_id: job }) {
    if (job) toast(DOING[entry.source](entry.cells));
    else if (!entry.changes.length && saved) toast(DONE[entry.source](saved));
    for (const item of entry.changes.length ? items : []) this.#correct(item);
    if (!skipped.length) return;
    const people = [...new Set(skipped.map((item) => item.by).filter((by) => by && by !== userName()))].join(", ");
    for (const item of skipped) this.receive({ by: item.by ?? "", items: [item] });
    toast(notChanged(skipped.length, people), { kind: "warning" });
  }

  /** The server refused a step: tiles go back, its words are shown. */
  refused(entry, error) {
    const back = entry.changes.map(({ cell_id, before, after }) => ({ cell_id, before: after, after: before }));
    this.#paint(back.filter((change) => !this.queue.isPending(change.cell_id)));
    if (!entry.reading) this.classes.adjust(back);
    if (entry.source in DONE) this.history.flip(entry.step);
    else this.history.forget(entry.step);
    toast(error.message, { kind: "error" });
  }

  #apply(source, tiles, stateFor) {
    const changes = tiles
      .map((tile) => ({ tile, cell_id: cellId(tile), before: annotation(tile), after: stateFor(tile) }))
      // Giving again the class a person gave changes nothing; confirming an accepted one does.
      .filter(({ before, after }) => before.class !== after.class || before.source !== after.source);
    if (!changes.length) return 0;
    for (const change of changes) {
      paintAnnotation(change.tile, change.after);
      delete change.tile;
    }
    const action = uuid();
    const reading = Number(this.tiles.grid.dataset.reading);
    if (!reading) this.classes.adjust(changes);
    this.history.record({ action, changes, reading });
    const seconds = this.stopwatch?.take();
    this.queue.push({ action, step: action, source, reading, changes, cells: changes.length, seconds });
    return changes.length;
  }

  /** What the server gave back is the truth; usually the page has guessed it. */
  #correct(item) {
    const tile = this.tiles.get(item.cell_id);
    if (!tile) return;
    const now = annotation(tile);
    if (now.class !== (item.class ?? "") || now.source !== item.source || now.by !== item.by) this.receive({ items: [item] });
  }

  #replay(how, step) {
    const changes = how === "redo" ? step.changes : step.changes.map(({ cell_id, before, after }) => ({ cell_id, before: after, after: before }));
    const shown = this.#paint(changes);
    if (!step.reading) this.classes.adjust(changes);
    this.queue.push({ action: uuid(), step: step.action, source: how, reading: step.reading, changes, cells: step.bulk ?? changes.length });
    if (changes.length && !shown) toast(`${DONE[how](changes.length)} ${_("They are on another page.")}`);
  }

  /** Show changes where the tile still has the state they start from. @returns {number} tiles shown on this page */
  #paint(changes) {
    let shown = 0;
    for (const { cell_id, before, after } of changes) {
      const tile = this.tiles.get(cell_id);
      if (!tile) continue;
      shown += 1;
      if (tile.dataset.class === before.class) paintAnnotation(tile, after);
    }
    return shown;
  }
}
