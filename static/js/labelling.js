/**
 * Giving, accepting, removing, undoing labels: tiles change at once, the queue saves.
 * @module labelling
 */
import { postJson, userName, uuid } from "./api.js";
import { _, ngettext } from "./messages.js";
import { annotation, cellId, paintAnnotation } from "./tiles.js";
import { toast } from "./toast.js";

const NONE = { class: "", source: "", by: "" };

const elsewhere = (source, count) =>
  source === "undo"
    ? ngettext("Took back the label of %(num)s cell on another page.", "Took back the label of %(num)s cells on another page.", count)
    : ngettext("Did again the label of %(num)s cell on another page.", "Did again the label of %(num)s cells on another page.", count);

/** What a person does to cells. */
export class Labeller {
  /**
   * @param {object} parts
   * @param {import("./tiles.js").Tiles} parts.tiles
   * @param {import("./classes.js").ClassPanel} parts.classes
   * @param {import("./history.js").History} parts.history
   * @param {import("./save_queue.js").SaveQueue} parts.queue
   * @param {import("./stopwatch.js").Stopwatch|null} parts.stopwatch none where decisions are not timed
   * @param {string} parts.project
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
    if (!step) return toast(_("Nothing to undo."));
    if (step.bulk) {
      const words = ngettext("Taking back the label of %(num)s cell.", "Taking back the labels of %(num)s cells.", step.bulk);
      return this.#inBulk(`/projects/${this.project}/actions/${step.action}/undo`, {}, words);
    }
    const changes = step.changes.map(({ cell_id, before, after }) => ({ cell_id, before: after, after: before }));
    return this.#replay("undo", step, changes);
  }

  /** Do again what was taken back last. */
  redo() {
    const step = this.history.redo();
    if (!step) return toast(_("Nothing to redo."));
    if (step.bulk) {
      step.action = uuid(); // taken back under its old name, it can be done once more under a new one
      const words = ngettext("Accepting %(num)s cell again.", "Accepting %(num)s cells again.", step.bulk);
      return this.#inBulk(step.again.url, { stop: step.again.stop, exceptions: step.again.exceptions, action: step.action }, words);
    }
    return this.#replay("redo", step, step.changes);
  }

  /** Show labels of other people, and of our other tabs. @param {{by: string, source?: string, items: object[]}} event */
  receive({ by, source, items }) {
    const changes = [];
    for (const item of items) {
      if (this.queue.isPending(item.cell_id)) continue;
      const after = { class: item.class ?? "", source: source ?? "label", by };
      const tile = this.tiles.get(item.cell_id);
      changes.push({ cell_id: item.cell_id, before: tile ? annotation(tile) : NONE, after });
      if (tile) paintAnnotation(tile, after);
    }
    this.classes.adjust(changes);
  }

  /** A step was saved; cells that someone else labelled meanwhile were left alone. */
  saved(entry, { skipped = [] }) {
    if (!skipped.length) return;
    const people = [...new Set(skipped.map((item) => item.by).filter(Boolean))].join(", ");
    for (const item of skipped) this.receive({ by: item.by ?? "", items: [item] });
    const why = people ? _("labelled meanwhile by %(people)s", { people }) : _("changed meanwhile");
    const words = ngettext("%(num)s cell not changed: %(why)s.", "%(num)s cells not changed: %(why)s.", skipped.length, { why });
    toast(words, { kind: "warning" });
  }

  /** The server refused a step: tiles go back, its words are shown. */
  refused(entry, error) {
    const back = entry.changes.map(({ cell_id, before, after }) => ({ cell_id, before: after, after: before }));
    this.#paint(back.filter((change) => !this.queue.isPending(change.cell_id)));
    this.classes.adjust(back);
    if (entry.guarded) this.history.flip(entry.step);
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
    this.history.record({ action, changes });
    this.queue.push({ action, step: action, source, guarded: false, reading, changes, seconds: this.stopwatch?.take() });
    return changes.length;
  }

  /** Ask the server for a change of more cells than this page knows. */
  async #inBulk(url, body, words) {
    try {
      await postJson(url, { action: uuid(), ...body });
      toast(words);
    } catch (error) {
      toast(error.message, { kind: "error" });
    }
  }

  #replay(source, step, changes) {
    const shown = this.#paint(changes);
    this.classes.adjust(changes);
    // What comes back as an accepted prediction must not pass for a label somebody looked at.
    const sources = new Set(changes.map(({ after }) => after.source).filter(Boolean));
    const accepted = sources.size === 1 && sources.has("accepted");
    const [sent, seconds] = [accepted ? "accepted" : source, this.stopwatch?.take()];
    this.queue.push({ action: uuid(), step: step.action, source: sent, guarded: true, changes, seconds });
    if (!shown) toast(elsewhere(source, changes.length));
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
