/**
 * Guided labelling: the server chooses a few cells at a time, this shows them and how many of them are done.
 * @module batches
 */
import { withKeys } from "./keys.js";
import { _ } from "./messages.js";
import { cellId } from "./tiles.js";
import { toast } from "./toast.js";

/** The key that brings more of a kind. */
const NEXT = { group: "⇧ N", next: "⇧ N", second: "⇧ B", audit: "⇧ Q" };

/** The batch that is shown, and the way to the next one. */
export class Batches {
  /**
   * @param {object} parts
   * @param {string} parts.project
   * @param {import("./tiles.js").Tiles} parts.tiles
   * @param {import("./selection.js").Selection} parts.selection
   * @param {import("./pages.js").Pages} parts.pages
   * @param {HTMLElement} parts.bar shows the note
   * @param {import("./review.js").Review} parts.review
   */
  constructor(parts) {
    Object.assign(this, parts);
  }

  /** Ask for the next cells to label. */
  next() {
    return this.pages.serve(`/projects/${this.project}/batches`, this.pages.place);
  }

  /** Ask for the labels that others contradict. */
  conflicts() {
    return this.pages.serve(`/projects/${this.project}/conflicts`, this.pages.place);
  }

  /** Ask for labelled cells to read without their label. */
  second() {
    return this.pages.serve(`/projects/${this.project}/second-readings`);
  }

  /** Ask for cells of the audit. */
  audit() {
    return this.pages.serve(`/projects/${this.project}/audits`);
  }

  /** Ask for the cells that were not read alike. */
  adjudicate() {
    return this.pages.serve(`/projects/${this.project}/adjudications`);
  }

  /** Show the cells most like the one a key is meant for. */
  similar() {
    const [tile] = this.selection.targets();
    if (!tile) return void toast(_("Point at a cell or move to one with the arrow keys first."));
    return this.pages.openSimilar(cellId(tile));
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
    const done = Object.fromEntries(Object.entries(NEXT).map(([name, key]) => [name, () => this.#progress(key)]));
    const more = { review: () => this.review.describe(), ...done };
    const text = withKeys(`${note} ${reference ? _("⇧ E selects all up to the one you are on.") : (more[kind]?.() ?? "")}`.trim());
    const line = this.bar.querySelector("#batch-note");
    if (line.textContent !== text) line.textContent = text;
  }

  #progress(key) {
    const all = this.tiles.all();
    const done = all.filter((tile) => tile.dataset.class).length;
    if (done === all.length) return _("All labelled: %(key)s brings the next ones.", { key });
    return _("%(done)s of %(total)s labelled.", { done, total: all.length });
  }
}
