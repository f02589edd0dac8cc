/**
 * Tells the reader of the predictions page that a newer version exists; the page itself never changes under their eyes.
 * @module predictions
 */

import { Live } from "./live.js";

const page = document.getElementById("overview");
const newer = document.getElementById("newer");

/** @param {{version: number}} event */
function compare(event) {
  newer.hidden = Number(page.dataset.version) >= event.version;
}

/** @param {{version: number}} event */
function evaluated(event) {
  if (Number(page.dataset.version) === event.version && !("evaluated" in page.dataset)) location.reload();
}

new Live(
  page.dataset,
  { scores: compare, metrics: evaluated },
  { onGap: () => {}, onState: () => {} },
);
