/**
 * One cell of the map: the card beside the pointer or the cursor, and the cell in large.
 * @module map_cell
 */
import { getJson } from "./api.js";
import { _ } from "./messages.js";
import { toast } from "./toast.js";

const REST_MS = 60; // the pointer rests on a cell this long before its picture is fetched
const GAP = 14; // pixels between a point and its card

/** Shows what is known of cells. */
export class CellCard {
  #timer = 0;

  /**
   * @param {object} parts
   * @param {string} parts.project
   * @param {HTMLElement} parts.card
   * @param {HTMLDialogElement} parts.dialog
   * @param {import("./map_data.js").MapData} parts.data
   * @param {import("./map_legend.js").Legend} parts.legend
   */
  constructor(parts) {
    Object.assign(this, parts);
    this.image = this.card.querySelector("img");
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  /** @returns {string} what is known of a cell, for its card and for screen readers @param {number} row */
  describe(row) {
    const { data, legend } = this;
    const label = legend.name("class", data.classes[row]);
    const predicted = legend.name("prediction", data.predicted[row]);
    const confidence = Math.round((data.confidence[row] / 255) * 100);
    return [
      label ? _("labelled %(code)s", { code: label }) : _("not labelled"),
      predicted ? _("predicted %(code)s, %(confidence)s %%", { code: predicted, confidence }) : _("no prediction"),
      legend.name("scanner", data.scanners[row]),
    ].filter(Boolean).join("\n");
  }

  /** Show the card of a cell beside its point. @param {number} row -1 for none @param {{x: number, y: number}} [at] */
  show(row, at) {
    this.card.hidden = row < 0;
    if (row < 0) return;
    const id = this.data.ids[row];
    if (this.card.dataset.cell !== String(id)) {
      this.card.dataset.cell = id;
      this.image.hidden = true;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => {
        this.image.src = `/cells/${id}/thumbnail`;
        this.image.hidden = false;
      }, REST_MS);
    }
    this.card.querySelector(".facts").textContent = this.describe(row);
    const { clientWidth: width, clientHeight: height } = this.card.parentElement;
    const left = at.x + GAP + this.card.offsetWidth > width ? at.x - GAP - this.card.offsetWidth : at.x + GAP;
    this.card.style.left = `${Math.max(left, 0)}px`;
    this.card.style.top = `${Math.min(Math.max(at.y - this.card.offsetHeight / 2, 0), height - this.card.offsetHeight)}px`;
  }

  /** Show a cell in large. @param {number} row */
  async open(row) {
    const id = this.data.ids[row];
    const put = (name, text) => { this.dialog.querySelector(`[data-fact="${name}"]`).textContent = text || "–"; };
    this.dialog.querySelector("img").src = `/cells/${id}/image`;
    this.dialog.querySelector('[data-command="similar"]').href = `/projects/${this.project}/cells?order=similar&similar=${id}`;
    for (const name of ["name", "label", "prediction", "novelty", "slide"]) put(name, "");
    this.dialog.showModal();
    try {
      const { cells: [cell] } = await getJson(`/projects/${this.project}/cells/state?ids=${id}`);
      put("name", cell.name);
      put("label", cell.class && (cell.by ? _("%(code)s, by %(name)s", { code: cell.class, name: cell.by }) : cell.class));
      put("prediction", cell.predicted && _("%(code)s, %(confidence)s %%", { code: cell.predicted, confidence: (100 * cell.confidence).toFixed(1) }));
      put("novelty", cell.novelty === null ? "" : cell.novelty.toFixed(2));
      put("slide", cell.slide);
    } catch (error) {
      toast(error.message, { kind: "error" });
    }
  }
}
