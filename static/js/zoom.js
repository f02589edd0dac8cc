/**
 * One cell in large with what is known of it. Arrows go on to its neighbours, class keys label it.
 * @module zoom
 */
import { _, number } from "./messages.js";
import { cellId } from "./tiles.js";

const orDash = (text) => text || "–";

/** Say which label a cell has, how it came about and by whom. */
function described(code, accepted, by) {
  if (!by) return accepted ? _("%(code)s, prediction accepted", { code }) : _("%(code)s, labelled", { code });
  return accepted
    ? _("%(code)s, prediction accepted by %(by)s", { code, by })
    : _("%(code)s, labelled by %(by)s", { code, by });
}

const HOLD_MS = 300; // a shorter press leaves it open
const TOUCH_MS = 500;
const TOUCH_MOVES = 10; // pixels after which a finger scrolls

/** The zoom dialog. */
export class Zoom {
  /**
   * @param {HTMLDialogElement} dialog
   * @param {import("./tiles.js").Tiles} tiles
   * @param {import("./selection.js").Selection} selection
   */
  constructor(dialog, tiles, selection) {
    Object.assign(this, { dialog, tiles, selection });
    this.tile = null;
    dialog.addEventListener("close", () => {
      this.selection.focus(this.tile);
      this.tile = null;
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    let byTouch = false; // two quick taps select and deselect
    tiles.grid.addEventListener("pointerdown", (event) => {
      byTouch = event.pointerType === "touch";
      if (byTouch) this.#touch(event);
    });
    tiles.grid.addEventListener("dblclick", (event) => byTouch || this.open(event.target.closest(".tile")));
    tiles.grid.addEventListener("contextmenu", (event) => event.pointerType === "touch" && event.preventDefault());
  }

  /** @returns {boolean} */
  get isOpen() {
    return this.dialog.open;
  }

  /** @param {HTMLElement|null} tile */
  open(tile) {
    if (!tile) return;
    this.tile = tile;
    this.paint();
    if (this.dialog.open) return;
    this.dialog.showModal();
    this.dialog.focus(); // not its button: Enter is meant for the cell
  }

  /** A key press opens or closes it; held for longer, it is open as long. @param {HTMLElement|null} tile @param {KeyboardEvent} event */
  press(tile, event) {
    if (event.repeat) return;
    if (this.isOpen) return void this.close();
    this.open(tile);
    const release = (up) => {
      if (up.code !== event.code) return;
      removeEventListener("keyup", release);
      if (this.isOpen && up.timeStamp - event.timeStamp > HOLD_MS) this.close();
    };
    addEventListener("keyup", release);
  }

  /** A long touch opens it; it stays, for the finger covers the cell. */
  #touch(begun) {
    const { grid } = this.tiles;
    const end = new AbortController();
    const timer = setTimeout(() => {
      end.abort();
      this.#swallowClick();
      this.open(begun.target.closest(".tile"));
    }, TOUCH_MS);
    const cancel = () => { clearTimeout(timer); end.abort(); };
    const moved = (event) => Math.hypot(event.clientX - begun.clientX, event.clientY - begun.clientY) > TOUCH_MOVES;
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, cancel, { signal: end.signal });
    addEventListener("pointermove", (event) => moved(event) && cancel(), { signal: end.signal });
  }

  /** A click that still belongs to the long touch must neither select the cell nor close the dialog. */
  #swallowClick() {
    const next = new AbortController();
    addEventListener("pointerdown", () => next.abort(), { capture: true, once: true });
    addEventListener("click", (event) => { event.stopPropagation(); event.preventDefault(); }, { capture: true, signal: AbortSignal.any([next.signal, AbortSignal.timeout(TOUCH_MS)]) });
  }

  /** Close it. */
  close() {
    this.dialog.close();
  }

  /** Go to a neighbour. @param {number} step */
  move(step) {
    const all = this.tiles.all();
    const to = all[all.indexOf(this.tile) + step];
    if (to) this.open(to);
  }

  /** Draw the present state of the cell; called again after its label has changed. */
  paint() {
    if (!this.tile) return;
    const { name, class: code, source, by, predicted, confidence, novelty, slide, why } = this.tile.dataset;
    const put = (id, text) => { this.dialog.querySelector(id).textContent = orDash(text); };
    const image = this.dialog.querySelector("#zoom-image");
    const url = `/cells/${cellId(this.tile)}/image`;
    if (image.getAttribute("src") !== url) image.src = url;
    this.#showField();
    image.alt = _("Cell %(name)s", { name });
    put("#zoom-title", name);
    put("#zoom-label", code && described(code, source === "accepted", by));
    put("#zoom-prediction", predicted && _("%(code)s, confidence %(percent)s %%", { code: predicted, percent: number(Number(confidence) * 100, 1) }));
    put("#zoom-novelty", novelty && number(novelty, 2));
    put("#zoom-slide", slide);
    put("#zoom-why", why);
  }

  /** The field around the cell, where the tile names its picture. */
  #showField() {
    const { field } = this.tile.dataset;
    const figure = this.dialog.querySelector("#zoom-field");
    figure.hidden = !field;
    if (!field) return;
    figure.querySelector("img").src = field;
    figure.querySelector("#zoom-place").href = `/cells/${cellId(this.tile)}/place`;
  }
}
