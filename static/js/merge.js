/**
 * Bring the tiles of a fresh page into the grid without moving what a person is touching.
 * @module merge
 */
import { annotation, cellId, paintAnnotation, paintPrediction } from "./tiles.js";

/**
 * How many tiles at the beginning must stay: up to the end of the row of the last touched one.
 * @param {HTMLElement[]} all in order of display
 * @param {HTMLElement[]} touched
 * @param {number} columns
 * @returns {number}
 */
export function pinnedCount(all, touched, columns) {
  const last = Math.max(-1, ...touched.map((tile) => all.indexOf(tile)));
  return Math.min(Math.ceil((last + 1) / columns) * columns, all.length);
}

/** Copy the page's own facts (cursors, totals, version), not its identity. */
export function copyPageData(grid, fresh) {
  for (const name of Object.keys(grid.dataset)) if (!(name in fresh.dataset) && name !== "aim") delete grid.dataset[name];
  for (const name of Object.keys(fresh.dataset)) grid.dataset[name] = fresh.dataset[name];
}

function refreshTile(tile, fresh, known) {
  const data = fresh.dataset;
  const now = annotation(tile);
  const next = known ?? annotation(fresh);
  if (now.class !== next.class || now.source !== next.source || now.by !== next.by) paintAnnotation(tile, next);
  const same = ["predicted", "confidence", "novelty", "state"].every((name) => tile.dataset[name] === data[name]);
  if (!same) paintPrediction(tile, data);
}

/**
 * Make the grid show the fresh page. Elements of cells that stay are kept, so images do not flicker.
 * @param {HTMLElement} grid
 * @param {HTMLElement} fresh the `#grid` of the answer
 * @param {number} keep tiles at the beginning that stay where they are, in the answer or not
 * @param {(id: number) => import("./tiles.js").CellState|undefined} known labels newer than the answer
 * @returns {number[]} ids of kept cells the answer says nothing about
 */
export function mergePage(grid, fresh, keep, known) {
  const present = new Map(Array.from(grid.children, (tile) => [cellId(tile), tile]));
  const pinned = new Set([...present.keys()].slice(0, keep));
  const told = new Set();
  let place = grid.children[keep] ?? null;
  for (const incoming of Array.from(fresh.children)) {
    const id = cellId(incoming);
    told.add(id);
    const tile = present.get(id) ?? document.adoptNode(incoming);
    refreshTile(tile, incoming, known(id));
    if (pinned.has(id)) continue;
    if (tile === place) place = place.nextElementSibling;
    else grid.insertBefore(tile, place);
  }
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
  copyPageData(grid, fresh);
  return [...pinned].filter((id) => !told.has(id));
}
