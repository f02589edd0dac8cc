/**
 * The cells of the map: where they lie, what is known of them, and which are close to a place.
 * @module map_data
 */
import { getBytes } from "./api.js";

const BINS = 512; // of the index of places, in each direction
const EDGE = 1.02; // the map lies within -1 and 1; what is beyond falls into the outermost bins
const TYPES = { F32: Float32Array, I32: Int32Array, U16: Uint16Array, U8: Uint8Array };

/** What shades say besides colours: 0 there is none, DIM it is not among those caught, HIDDEN it is not shown. */
export const [DIM, HIDDEN] = [254, 255];

/**
 * Read a safetensors answer (https://huggingface.co/docs/safetensors): a header of JSON, then arrays.
 * @param {string} url
 * @returns {Promise<{arrays: Record<string, any>, metadata: Record<string, string>}>}
 */
export async function readArrays(url) {
  const bytes = await getBytes(url);
  const length = Number(new DataView(bytes).getBigUint64(0, true));
  const { __metadata__: metadata, ...described } = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
  const arrays = {};
  for (const [name, { dtype, data_offsets: [start, end] }] of Object.entries(described)) {
    arrays[name] = new TYPES[dtype](bytes.slice(8 + length + start, 8 + length + end));
  }
  return { arrays, metadata };
}

function joined(old, more) {
  const all = new old.constructor(old.length + more.length);
  all.set(old);
  all.set(more, old.length);
  return all;
}

const bin = (value) => Math.min(Math.max(Math.floor(((value + EDGE) / (2 * EDGE)) * BINS), 0), BINS - 1);

/** Columns of equal length, a row per cell in the order of the map. */
export class MapData {
  ids = new Int32Array(0);
  places = new Float32Array(0); // x, y of each
  scanners = new Uint16Array(0); // places in the page's list of scanners, from 1
  classes = new Uint16Array(0); // places in the page's list of classes, from 1; 0 is none
  predicted = new Uint16Array(0);
  confidence = new Uint8Array(0);
  removed = new Uint8Array(0); // 1 for cells that are not there any more
  shades = new Uint8Array(0); // what is drawn; HIDDEN ones are not there for anybody

  /**
   * @param {string} path of the map
   * @param {number[]} classIds of the page, in its order
   * @param {number[]} scannerIds
   */
  constructor(path, classIds, scannerIds) {
    this.path = path;
    this.classPlaces = new Map(classIds.map((id, at) => [id, at + 1]));
    this.scannerPlaces = new Map(scannerIds.map((id, at) => [id, at + 1]));
  }

  /** @returns {number} how many cells there are */
  get length() {
    return this.ids.length;
  }

  /** @returns {number} how many of them are there still */
  get present() {
    return this.removed.reduce((count, removed) => count - removed, this.length);
  }

  /** Read the cells that are new: all of them at first. @throws {ApiError} */
  async loadPoints() {
    const { arrays, metadata } = await readArrays(`${this.path}/points?start=${this.length}`);
    if (!arrays.cell_ids.length) return;
    const table = JSON.parse(metadata.scanners).map((id) => this.scannerPlaces.get(id) ?? 0);
    this.ids = joined(this.ids, arrays.cell_ids);
    this.places = joined(this.places, arrays.places);
    this.scanners = joined(this.scanners, arrays.scanners.map((at) => table[at]));
    this.#index();
  }

  /** Read labels and predictions. Cells that came after the places were read wait for theirs. @throws {ApiError} */
  async loadValues() {
    const { arrays, metadata } = await readArrays(`${this.path}/values`);
    const table = JSON.parse(metadata.classes).map((id) => this.classPlaces.get(id) ?? 0);
    const fitted = (old, read) => { const all = new old.constructor(this.length); all.set(read.subarray(0, this.length)); return all; };
    this.classes = fitted(this.classes, arrays.classes.map((at) => table[at]));
    this.predicted = fitted(this.predicted, arrays.predicted.map((at) => table[at]));
    this.confidence = fitted(this.confidence, arrays.confidence);
    this.removed = fitted(this.removed, arrays.removed);
  }

  /** @returns {{x: number, y: number}} where a cell lies @param {number} row */
  at(row) {
    return { x: this.places[2 * row], y: this.places[2 * row + 1] };
  }

  /**
   * The visible cell closest to a place, -1 if there is none.
   * @param {{x: number, y: number}} place
   * @param {number} reach
   * @param {(dx: number, dy: number) => boolean} [among] only cells in these directions
   */
  nearest({ x, y }, reach, among = () => true) {
    let [best, found] = [reach * reach, -1];
    this.#each(x - reach, y - reach, x + reach, y + reach, (row) => {
      const [dx, dy] = [this.places[2 * row] - x, this.places[2 * row + 1] - y];
      const far = dx * dx + dy * dy;
      if (far < best && among(dx, dy)) [best, found] = [far, row];
    });
    return found;
  }

  /** The visible cells that lie inside a polygon. @param {{x: number, y: number}[]} corners @returns {number[]} rows */
  inside(corners) {
    const [xs, ys] = [corners.map(({ x }) => x), corners.map(({ y }) => y)];
    const rows = [];
    this.#each(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), (row) => {
      if (surrounds(xs, ys, this.places[2 * row], this.places[2 * row + 1])) rows.push(row);
    });
    return rows;
  }

  /** The visible cells closest to a place, the closest first. @returns {number[]} rows */
  closest({ x, y }, count) {
    let rows = [];
    for (let reach = 1 / BINS; rows.length < count && reach < 4; reach *= 2) {
      rows = [];
      this.#each(x - reach, y - reach, x + reach, y + reach, (row) => rows.push(row));
    }
    return this.fromMiddle(rows, { x, y }).slice(0, count);
  }

  /** Order rows by how far they are from a place, by default their middle. @param {number[]} rows */
  fromMiddle(rows, middle = this.#middle(rows)) {
    const far = new Float64Array(rows.length);
    rows.forEach((row, at) => { far[at] = Math.hypot(this.places[2 * row] - middle.x, this.places[2 * row + 1] - middle.y); });
    return rows.map((_row, at) => at).sort((a, b) => far[a] - far[b]).map((at) => rows[at]);
  }

  #middle(rows) {
    const sum = { x: 0, y: 0 };
    for (const row of rows) {
      sum.x += this.places[2 * row] / rows.length;
      sum.y += this.places[2 * row + 1] / rows.length;
    }
    return sum;
  }

  /** Sort the cells into bins: `order` holds their rows, bin by bin, `starts` where each bin begins. */
  #index() {
    const [starts, bins] = [new Int32Array(BINS * BINS + 1), new Int32Array(this.length)];
    for (let row = 0; row < this.length; row++) {
      bins[row] = bin(this.places[2 * row + 1]) * BINS + bin(this.places[2 * row]);
      starts[bins[row] + 1]++;
    }
    for (let at = 0; at < BINS * BINS; at++) starts[at + 1] += starts[at];
    const next = starts.slice();
    this.order = new Int32Array(this.length);
    for (let row = 0; row < this.length; row++) this.order[next[bins[row]]++] = row;
    this.starts = starts;
  }

  /** Call `take` with every visible row in a rectangle. */
  #each(left, bottom, right, top, take) {
    if (!this.starts) return;
    for (let y = bin(bottom); y <= bin(top); y++) {
      const [first, last] = [this.starts[y * BINS + bin(left)], this.starts[y * BINS + bin(right) + 1]];
      for (let at = first; at < last; at++) {
        const row = this.order[at];
        const [px, py] = [this.places[2 * row], this.places[2 * row + 1]];
        if (this.shades[row] !== HIDDEN && px >= left && px <= right && py >= bottom && py <= top) take(row);
      }
    }
  }
}

/** Whether a polygon surrounds a point (even-odd rule). */
function surrounds(xs, ys, x, y) {
  let inside = false;
  for (let a = 0, b = xs.length - 1; a < xs.length; b = a++) {
    if (ys[a] > y !== ys[b] > y && x < ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a]) inside = !inside;
  }
  return inside;
}
