/**
 * What colours the points of the map mean, and which cells are shown.
 * @module map_colors
 */
import { DIM, HIDDEN } from "./map_data.js";

/** What cells can be coloured by, in the order of the key. */
export const MODES = ["class", "prediction", "scanner", "confidence"];
/** Those of which one can leave some out. */
export const KINDS = MODES.slice(0, 3);

const COLORS = 253; // shades from 1; classes beyond begin anew
const LEAST_CONTRAST = 1.9; // to the background; what has less is moved towards the colour of text
// Okabe and Ito 2008, as the first classes.
const SCANNERS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#332288", "#f0e442"];
const CONFIDENCE = ["#d55e00", "#b9b3a5", "#2f8fd0"]; // from none to certain, told apart by all kinds of sight

/** The cells of a kind by what they are: places in the page's list, 0 for none. */
const columnOf = (data, kind) => ({ class: data.classes, prediction: data.predicted, scanner: data.scanners })[kind];

/**
 * @typedef {object} Filter which cells are shown
 * @property {Record<string, Set<number>>} off by kind, the places that are left out
 * @property {boolean} unlabelled only cells without a label
 */

/**
 * Give each cell its shade.
 * @param {import("./map_data.js").MapData} data
 * @param {string} mode
 * @param {Filter} filter
 * @param {Uint8Array|null} caught 1 for each caught cell; the others are dimmed
 */
export function shadesOf(data, mode, { off, unlabelled }, caught) {
  const shades = new Uint8Array(data.length);
  const columns = KINDS.filter((kind) => off[kind].size).map((kind) => [columnOf(data, kind), off[kind]]);
  const column = columnOf(data, mode);
  const shadeAt = column
    ? (row) => shadeOf(column[row])
    : (row) => (data.predicted[row] ? 1 + Math.round((data.confidence[row] / 255) * (COLORS - 1)) : 0);
  for (let row = 0; row < data.length; row++) {
    if (data.removed[row] || (unlabelled && data.classes[row])) shades[row] = HIDDEN;
    else if (columns.some(([places, left]) => left.has(places[row]))) shades[row] = HIDDEN;
    else shades[row] = caught && !caught[row] ? DIM : shadeAt(row);
  }
  return shades;
}

/** @returns {number[]} how many cells there are of each place of a kind, none first */
export function countsOf(data, kind, length) {
  const counts = new Array(length + 1).fill(0);
  columnOf(data, kind).forEach((place, row) => { if (!data.removed[row]) counts[place]++; });
  return counts;
}

const parse = (color) => [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
const computed = (color) => color.match(/[\d.]+/g).slice(0, 3).map(Number);
const mixed = (one, other, share) => one.map((value, at) => value + (other[at] - value) * share);

/** Relative luminance (WCAG 2.2). */
function luminance(color) {
  const [red, green, blue] = color.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** The colour of a share between 0 and 1. */
function confidenceColor(share) {
  const [from, to] = share < 0.5 ? [0, 1] : [1, 2];
  return mixed(parse(CONFIDENCE[from]), parse(CONFIDENCE[to]), 2 * share - from);
}

const shadeOf = (place) => place && 1 + ((place - 1) % COLORS);

/**
 * The colours of a mode on the present background.
 * @param {HTMLElement} canvas its colour is that of text, its outline that of cells without, its border that of dimmed ones
 * @param {string} mode
 * @param {{color: string}[]} classes
 * @returns {{colors: Uint8Array, css: (place: number) => string}} 256 shades as bytes, and the colour of a place
 */
export function paletteOf(canvas, mode, classes) {
  const style = getComputedStyle(canvas);
  const [text, background, none, dim] = [style.color, style.backgroundColor, style.outlineColor, style.borderTopColor].map(computed);
  const clear = (color) => {
    let found = color;
    for (let share = 0; contrast(found, background) < LEAST_CONTRAST && share < 1; share += 0.1) found = mixed(color, text, share);
    return found;
  };
  const given = mode === "scanner" ? SCANNERS : classes.map(({ color }) => color);
  const colorOf = (shade) => {
    if (shade === 0 || (mode !== "confidence" && !given.length)) return none;
    if (shade >= DIM) return dim;
    return clear(mode === "confidence" ? confidenceColor((shade - 1) / (COLORS - 1)) : parse(given[(shade - 1) % given.length]));
  };
  const colors = new Uint8Array(4 * 256);
  for (let shade = 0; shade < 256; shade++) colors.set([...colorOf(shade).map(Math.round), 255], 4 * shade);
  return { colors, css: (place) => `rgb(${colors.subarray(4 * shadeOf(place), 4 * shadeOf(place) + 3).join(" ")})` };
}
