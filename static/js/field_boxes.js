/**
 * The boxes of the cells of a field, drawn above its picture; one of them may be a draft that is being changed.
 * @module field_boxes
 *
 * @typedef {[number, number, number, number]} Box left, top, right, bottom in pixels of the field
 * @typedef {object} FieldCell
 * @property {number} cell_id
 * @property {Box} box
 * @property {string} class_code
 * @property {string} predicted
 */

const SVG = "http://www.w3.org/2000/svg";
const NAMED_FROM = 26; // pixels on the screen: smaller boxes have no room for a code
const CORNERS = [[0, 1], [2, 1], [0, 3], [2, 3]]; // places in a box
const HANDLE = 11; // pixels

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

/** @returns {[number, number]} the middle of a box @param {Box} box */
export const middle = ([left, top, right, bottom]) => [(left + right) / 2, (top + bottom) / 2];

/** The SVG above the viewer. */
export class Boxes {
  #cells = [];
  #pending = [];
  #chosen = 0;
  /** @type {Box|null} */
  #draft = null;

  /**
   * @param {SVGElement} svg
   * @param {object} viewer of OpenSeadragon
   * @param {object} options
   * @param {number} options.size side of a new box in pixels of the field
   * @param {[number, number]} options.limits width and height of the field
   * @param {(cellId: number) => void} options.onChoose
   */
  constructor(svg, viewer, { size, limits, onChoose }) {
    Object.assign(this, { svg, viewer, size, limits });
    viewer.addHandler("update-viewport", () => this.paint());
    svg.addEventListener("click", ({ target }) => target.dataset.cellId && onChoose(Number(target.dataset.cellId)));
    svg.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    svg.addEventListener("pointerdown", (event) => this.#grab(event));
  }

  /** @returns {Box|null} the box that is being drawn, in whole pixels */
  get draft() {
    return this.#draft && /** @type {Box} */ (this.#draft.map(Math.round));
  }

  /** @param {FieldCell[]} cells @param {Box[]} pending boxes that are being cut out */
  show(cells, pending) {
    this.#cells = cells;
    this.#pending = pending;
    this.paint();
  }

  /** @param {number} cellId 0 for none */
  choose(cellId) {
    this.#chosen = cellId;
    this.paint();
  }

  /** Begin with a box, a new one in the middle of the view if none is given; null ends it. @param {Box|null} [box] */
  edit(box) {
    if (box === undefined) {
      const { x, y } = this.viewer.viewport.viewportToImageCoordinates(this.viewer.viewport.getCenter());
      const half = this.size / 2;
      box = [x - half, y - half, x + half, y + half];
    }
    this.#draft = box && this.#within([...box]);
    this.svg.classList.toggle("is-drawing", Boolean(box));
    this.paint();
  }

  /** Move the draft, or its right and lower side. @param {number} x @param {number} y steps @param {boolean} resize */
  nudge(x, y, resize) {
    const step = Math.max(1, Math.round(this.size / 40));
    const [left, top, right, bottom] = this.#draft;
    const moved = resize
      ? [left, top, Math.max(left + step, right + x * step), Math.max(top + step, bottom + y * step)]
      : [left + x * step, top + y * step, right + x * step, bottom + y * step];
    this.#draft = this.#within(moved);
    this.paint();
  }

  /** Keep a box inside of the field, its size as long as it fits. */
  #within([left, top, right, bottom]) {
    const [width, height] = this.limits;
    const [across, down] = [Math.min(right - left, width), Math.min(bottom - top, height)];
    const x = Math.min(Math.max(left, 0), width - across);
    const y = Math.min(Math.max(top, 0), height - down);
    return [x, y, x + across, y + down];
  }

  #onScreen([left, top, right, bottom]) {
    const { viewport } = this.viewer;
    const from = viewport.imageToViewerElementCoordinates(new OpenSeadragon.Point(left, top));
    const to = viewport.imageToViewerElementCoordinates(new OpenSeadragon.Point(right, bottom));
    return { x: from.x, y: from.y, width: to.x - from.x, height: to.y - from.y };
  }

  #inField({ clientX, clientY }) {
    const { left, top } = this.svg.getBoundingClientRect();
    const { x, y } = this.viewer.viewport.viewerElementToImageCoordinates(new OpenSeadragon.Point(clientX - left, clientY - top));
    return [x, y];
  }

  /** Draw what is in sight. */
  paint() {
    if (!this.viewer.world.getItemCount()) return;
    const { clientWidth, clientHeight } = this.svg;
    this.svg.replaceChildren();
    for (const cell of this.#cells) {
      const place = this.#onScreen(cell.box);
      if (place.x > clientWidth || place.y > clientHeight || place.x + place.width < 0 || place.y + place.height < 0) continue;
      this.#paintCell(cell, place);
    }
    for (const box of this.#pending) element("rect", { ...this.#onScreen(box), class: "box is-pending" }, this.svg);
    if (this.#draft) this.#paintDraft();
  }

  #paintCell(cell, place) {
    const code = cell.class_code || cell.predicted;
    const classes = ["box", cell.class_code ? "" : "is-predicted", cell.cell_id === this.#chosen ? "is-chosen" : ""];
    element("rect", { ...place, class: classes.join(" ").trim(), "data-cell-id": cell.cell_id, "data-class-code": code }, this.svg);
    if (code && place.width >= NAMED_FROM) element("text", { x: place.x + 2, y: place.y - 5, class: "box-name" }, this.svg).textContent = code;
  }

  #paintDraft() {
    element("rect", { ...this.#onScreen(this.#draft), id: "draft" }, this.svg);
    CORNERS.forEach(([x, y], corner) => {
      const { x: left, y: top } = this.#onScreen([this.#draft[x], this.#draft[y], 0, 0]);
      element("rect", { x: left - HANDLE / 2, y: top - HANDLE / 2, width: HANDLE, height: HANDLE, class: "handle", "data-corner": corner }, this.svg);
    });
  }

  /** Boxes do not keep the wheel from the picture below. */
  #wheel(event) {
    event.preventDefault();
    const { left, top } = this.svg.getBoundingClientRect();
    const point = this.viewer.viewport.pointFromPixel(new OpenSeadragon.Point(event.clientX - left, event.clientY - top));
    this.viewer.viewport.zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, point);
    this.viewer.viewport.applyConstraints();
  }

  /** Drag the draft, one of its corners, or a new box where there is none yet. */
  #grab(event) {
    if (!this.#draft || event.button) return;
    event.preventDefault();
    const [x, y] = this.#inField(event);
    const { corner } = event.target.dataset;
    const inside = event.target.id === "draft";
    const begun = [...this.#draft];
    const fixed = corner === undefined ? [x, y] : [begun[2 - CORNERS[corner][0]], begun[4 - CORNERS[corner][1]]];
    const end = new AbortController();
    const move = (now) => {
      const [toX, toY] = this.#inField(now);
      this.#draft = inside
        ? this.#within([begun[0] + toX - x, begun[1] + toY - y, begun[2] + toX - x, begun[3] + toY - y])
        : this.#between(fixed, [toX, toY]);
      this.paint();
    };
    addEventListener("pointermove", move, { signal: end.signal });
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => end.abort(), { signal: end.signal });
  }

  #between([x, y], [toX, toY]) {
    const [width, height] = this.limits;
    const cut = (value, most) => Math.min(Math.max(value, 0), most);
    return [cut(Math.min(x, toX), width - 1), cut(Math.min(y, toY), height - 1), cut(Math.max(x, toX), width), cut(Math.max(y, toY), height)];
  }
}
