/**
 * Guided labelling: the server chooses a few cells at a time, this shows them and how many of them are done.
 * @module batches
 */
import { postJson } from "./api.js";
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
  async next() {
    if (this.#asking) return;
    this.#asking = true;
    try {
      await this.queue.idle(); // what was labelled a moment ago must not be chosen again
      const { url } = await postJson(`/projects/${this.project}/batches`, {});
      await this.pages.open(url);
      this.selection.focus(this.tiles.grid.querySelector(".tile"));
    } catch (error) {
      toast(error.message, { kind: error.status === 409 ? "info" : "error" });
    } finally {
      this.#asking = false;
    }
  }

  /** Say what the cells on the page are, and how many of them are labelled. */
  show() {
    const { note, review } = this.tiles.grid.dataset;
    this.bar.hidden = !note;
    if (!note) return;
    this.bar.toggleAttribute("data-review", Boolean(review));
    const text = `${note} ${review ? this.review.describe() : this.#progress()}`;
    const line = this.bar.querySelector("#batch-note");
    if (line.textContent !== text) line.textContent = text;
  }

  #progress() {
    const all = this.tiles.all();
    const done = all.filter((tile) => tile.dataset.class).length;
    return done === all.length ? "All labelled: ⇧ N brings the next ones." : `${done} of ${all.length} labelled.`;
  }
}
