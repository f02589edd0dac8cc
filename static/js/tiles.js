/**
 * The tiles of the grid. Their data attributes are the truth on this page; texts are painted from them.
 * @module tiles
 *
 * @typedef {object} CellState
 * @property {string} class code of the present annotation, "" for none
 * @property {string} source "label", "accepted" or ""
 * @property {string} by who labelled, "" for nobody
 */

/** @returns {number} */
export const cellId = (tile) => Number(tile.dataset.cellId);

/** @returns {CellState} */
export const annotation = (tile) => ({ class: tile.dataset.class, source: tile.dataset.source, by: tile.dataset.by });

const percent = (confidence) => (confidence === "" ? "" : `${Math.round(Number(confidence) * 100)}%`);

function repaint(tile) {
  const data = tile.dataset;
  const [label, predicted] = tile.querySelector(".tile-strip").children;
  label.textContent = data.class;
  predicted.firstElementChild.textContent = data.predicted;
  predicted.lastElementChild.textContent = percent(data.confidence);
  tile.toggleAttribute("data-differs", Boolean(data.class && data.predicted && data.class !== data.predicted));
}

/**
 * Show another annotation on a tile.
 * @param {HTMLElement} tile
 * @param {CellState} state
 */
export function paintAnnotation(tile, state) {
  tile.dataset.class = state.class;
  tile.dataset.source = state.class ? state.source : "";
  tile.dataset.by = state.class ? state.by : "";
  repaint(tile);
}

/**
 * Show another prediction on a tile, with a short highlight where the class differs.
 * @param {HTMLElement} tile
 * @param {{predicted: string, confidence: number|string, novelty: number|string, state?: string}} prediction
 */
export function paintPrediction(tile, { predicted, confidence, novelty, state }) {
  const changed = tile.dataset.predicted !== "" && tile.dataset.predicted !== predicted;
  Object.assign(tile.dataset, { predicted, confidence, novelty });
  if (state) tile.dataset.state = state;
  repaint(tile);
  if (!changed) return;
  tile.classList.add("is-changed");
  setTimeout(() => tile.classList.remove("is-changed"), 1500);
}

/** The tiles of a grid by id and place. Looks at the document each time: at most a few hundred elements. */
export class Tiles {
  /** @param {HTMLElement} grid */
  constructor(grid) {
    this.grid = grid;
  }

  /** @returns {HTMLElement[]} in order of display */
  all() {
    return Array.from(this.grid.children);
  }

  /** @param {number} id @returns {HTMLElement|null} */
  get(id) {
    return this.grid.querySelector(`:scope > [data-cell-id="${id}"]`);
  }

  /** Load again the images that failed while the server was away. */
  reloadImages() {
    for (const image of this.grid.querySelectorAll("img")) {
      if (image.complete && !image.naturalWidth) image.src = image.getAttribute("src");
    }
  }

  /** @returns {number} tiles in a row at the present width */
  columns() {
    return getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
  }
}
