/**
 * Review by exception: the predictions of one class, page by page, or by jumps that find how far they are right.
 * @module review
 *
 * Jumps double while pages are right; the first page that is not right sets a border, and the place between the last
 * right page and that border is halved until they meet (after MorphoCluster, Schröder et al. 2020). From then on pages
 * come one by one.
 */
import { postJson, uuid } from "./api.js";
import { withKeys } from "./keys.js";
import { _, number } from "./messages.js";
import { cellId } from "./tiles.js";
import { toast } from "./toast.js";

/** The review that is shown. */
export class Review {
  /**
   * @param {object} parts
   * @param {string} parts.project
   * @param {import("./tiles.js").Tiles} parts.tiles
   * @param {import("./selection.js").Selection} parts.selection
   * @param {import("./pages.js").Pages} parts.pages
   * @param {import("./labelling.js").Labeller} parts.labeller
   * @param {() => void} parts.onChange called after a verdict that turns no page
   */
  constructor(parts) {
    Object.assign(this, parts);
    this.grid = parts.tiles.grid;
  }

  /** @returns {boolean} */
  get active() {
    return Boolean(this.grid.dataset.review);
  }

  /** Begin with the class, scanner, slide and order the filters say, or with the class most cells are predicted to be. */
  begin() {
    const { predicted, order } = Object.fromEntries(new FormData(this.pages.form));
    const body = { predicted: this.active ? "" : predicted, order: order === "novel" ? "novel" : "confident" };
    return this.pages.serve(`/projects/${this.project}/reviews`, { ...body, ...this.pages.place });
  }

  /** Accept what is neither labelled nor selected, and turn the page. What was selected stays an exception. */
  acceptPage() {
    const exceptions = this.selection.selected.filter((tile) => !tile.dataset.class).map(cellId);
    this.#remember({ ...this.#state, exceptions: [...new Set([...this.#state.exceptions, ...exceptions])] });
    this.labeller.assign(this.#standing(), this.grid.dataset.review, "accepted");
    this.selection.clear();
    if (this.pages.nextUrl) this.pages.next();
    else toast(withKeys(_("This was the last page. ⇧ R reviews the next class.")), { kind: "success" });
  }

  /** The page is right: so is what lies before it. Look further on, or half-way to the border. */
  right() {
    this.#judge(({ border, step, ...state }) => {
      const right = this.#pageEnd;
      return { ...state, border, right, step: step * 2, next: border === null ? right + (step - 1) * this.#size : null };
    });
  }

  /** The page is not right: the border lies before its end. */
  wrong() {
    this.#judge((state) => ({ ...state, border: this.#pageStart, next: null }));
  }

  /** Accept all predictions up to the end of the last page that was right, as one step. */
  async acceptUntil() {
    const { right, exceptions } = this.#state;
    if (!this.active || !right) return toast(withKeys(_("Nothing is known to be right yet: ⇧ J says a page is.")));
    const action = uuid();
    try {
      const body = { action, stop: right, exceptions, seconds: this.labeller.stopwatch?.take() };
      await postJson(`/projects/${this.project}/batches/${this.#batch}/accept`, body);
    } catch (error) {
      return toast(error.message, { kind: "error" });
    }
    this.labeller.history.record({ action, changes: [], bulk: right });
    const values = { count: number(right), code: this.grid.dataset.review };
    toast(withKeys(_("Accepting %(count)s cells as %(code)s. Ctrl Z takes all of it back.", values)), { kind: "success" });
    return right < Number(this.grid.dataset.total) ? this.pages.openAt(right) : this.pages.refresh();
  }

  /** @returns {string} where the review stands */
  describe() {
    const total = Number(this.grid.dataset.total);
    const { right, border } = this.#state;
    const button = document.querySelector('[data-command="accept-until"]');
    button.disabled = !right;
    const values = { count: number(right), total: number(total) };
    if (border !== null && border <= right) return _("The first %(count)s of %(total)s are right: ⇧ U accepts them; go on page by page.", values);
    if (right) return _("Right up to %(count)s of %(total)s.", values);
    return _("Label or select what is wrong; ⇧ A accepts the rest and turns the page.");
  }

  get #batch() {
    return this.pages.form.elements.batch.value;
  }

  get #size() {
    return this.grid.children.length;
  }

  get #pageStart() {
    return Number(this.grid.dataset.offset);
  }

  get #pageEnd() {
    return this.#pageStart + this.#size;
  }

  get #key() {
    return `fiftycells.review/${this.#batch}`;
  }

  get #state() {
    return JSON.parse(sessionStorage.getItem(this.#key)) ?? { right: 0, border: null, step: 1, exceptions: [] };
  }

  #remember(state) {
    sessionStorage.setItem(this.#key, JSON.stringify(state));
  }

  #standing() {
    const wrong = new Set(this.selection.selected);
    return this.tiles.all().filter((tile) => !tile.dataset.class && !wrong.has(tile));
  }

  #judge(verdict) {
    if (!this.active) return void toast(withKeys(_("This is for reviews: ⇧ R begins one.")));
    const { next, ...state } = verdict(this.#state);
    const total = Number(this.grid.dataset.total);
    this.#remember(state);
    const end = state.border ?? total;
    const pages = Math.floor((end - state.right) / this.#size);
    let place = next ?? state.right + Math.floor(pages / 2) * this.#size;
    if (state.right >= end) place = state.right;
    else if (place >= end) place = Math.max(state.right, end - this.#size);
    if (place >= total) {
      toast(withKeys(_("Right to the end: ⇧ U accepts them all.")), { kind: "success" });
      return void this.onChange();
    }
    return void this.pages.openAt(place);
  }
}
