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
    tiles.grid.addEventListener("dblclick", (event) => this.open(event.target.closest(".tile")));
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
    if (!this.dialog.open) this.dialog.showModal();
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
    image.alt = _("Cell %(name)s", { name });
    put("#zoom-title", name);
    put("#zoom-label", code && described(code, source === "accepted", by));
    put("#zoom-prediction", predicted && _("%(code)s, confidence %(percent)s %%", { code: predicted, percent: number(Number(confidence) * 100, 1) }));
    put("#zoom-novelty", novelty && number(novelty, 2));
    put("#zoom-slide", slide);
    put("#zoom-why", why);
  }
}
