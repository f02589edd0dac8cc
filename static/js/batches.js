/**
 * Guided labelling: the server chooses a few cells at a time, this shows them and how many of them are done.
 * @module batches
 */
import { postJson } from "./api.js";
import { cellId } from "./tiles.js";
import { toast } from "./toast.js";

/** The batch that is shown, and the way to the next one. */
export class Batches {
  #asking = false;

  /**
   * @param {object} parts
   * @param {string} parts.project
   * @param {import("./tiles.js").Tiles} parts.tiles
   * @param {import("./selection.js").Selection} parts.selection
   * @param {import("./save_queue.js").SaveQueue} parts.queue
   * @param {import("./pages.js").Pages} parts.pages
   * @param {HTMLElement} parts.bar shows the note
   * @param {import("./review.js").Review} parts.review
   */
  constructor(parts) {
    Object.assign(this, parts);
  }

  /** Ask for the next cells to label and show them, the keyboard on the first. */
  next() {
    return this.#serve("batches");
  }

  /** Ask for the labels that others contradict. */
  conflicts() {
    return this.#serve("conflicts");
  }

  async #serve(what) {
    if (this.#asking) return;
    this.#asking = true;
    try {
      await this.queue.idle(); // what was labelled a moment ago must not be chosen again
      const { url } = await postJson(`/projects/${this.project}/${what}`, {});
      await this.pages.open(url);
      this.selection.focus(this.tiles.grid.querySelector(".tile"));
    } catch (error) {
      toast(error.message, { kind: error.status === 409 ? "info" : "error" });
    } finally {
      this.#asking = false;
    }
  }

  /** Show the cells most like the one a key is meant for. */
  async similar() {
    const [tile] = this.selection.targets();
    if (!tile) return void toast("Point at a cell or move to one with the arrow keys first.");
    await this.pages.openSimilar(cellId(tile));
    this.selection.focus(this.tiles.grid.querySelector(".tile"));
  }

  /** Select all cells up to the one a key is meant for: those as near to the reference as it is. */
  selectUntil() {
    const [tile] = this.selection.targets();
    if (!tile) return;
    const all = this.tiles.all();
    this.selection.set(all.slice(0, all.indexOf(tile) + 1));
  }

  /** Say what the cells on the page are, and how many of them are labelled. */
  show() {
    const { note, kind, review, reference } = this.tiles.grid.dataset;
    this.bar.hidden = !note;
    if (!note) return;
    this.bar.toggleAttribute("data-review", Boolean(review));
    this.bar.toggleAttribute("data-similar", Boolean(reference));
    const image = this.bar.querySelector("#reference");
    image.hidden = !reference;
    if (reference && image.dataset.cell !== reference) {
      image.dataset.cell = reference;
      image.src = `/cells/${reference}/thumbnail`;
    }
    const more = { review: () => this.review.describe(), group: () => this.#progress(), next: () => this.#progress() };
    const text = `${note} ${reference ? "⇧ E selects all up to the one you are on." : (more[kind]?.() ?? "")}`.trim();
    const line = this.bar.querySelector("#batch-note");
    if (line.textContent !== text) line.textContent = text;
  }

  #progress() {
    const all = this.tiles.all();
    const done = all.filter((tile) => tile.dataset.class).length;
    return done === all.length ? "All labelled: ⇧ N brings the next ones." : `${done} of ${all.length} labelled.`;
  }
}
