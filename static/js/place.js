/**
 * Where this person is in the grid: page with filters, and the cell that has the keyboard. static/js/resume.js goes there.
 * @module place
 */
import { userName } from "./api.js";
import { cellId } from "./tiles.js";

/** Remembers the place in this browser, and puts the keyboard back there. */
export class Place {
  /**
   * @param {object} parts
   * @param {import("./tiles.js").Tiles} parts.tiles
   * @param {import("./selection.js").Selection} parts.selection
   * @param {import("./pages.js").Pages} parts.pages
   */
  constructor(parts) {
    Object.assign(this, parts);
    this.key = `fiftycells.place/${userName()}${location.pathname}`;
    this.#return();
    parts.tiles.grid.addEventListener("focusin", () => this.remember());
  }

  /** Remember what is shown now. */
  remember() {
    const { focused } = this.selection;
    localStorage.setItem(this.key, JSON.stringify({ url: this.pages.url, cell: focused ? cellId(focused) : 0 }));
  }

  #return() {
    const before = JSON.parse(localStorage.getItem(this.key));
    const cell = location.hash.match(/^#cell-(\d+)$/)?.[1] ?? (before?.url === this.pages.url ? before.cell : 0);
    if (location.hash) history.replaceState(null, "", this.pages.url);
    const tile = this.tiles.get(cell);
    if (tile) this.selection.focus(tile);
  }
}
