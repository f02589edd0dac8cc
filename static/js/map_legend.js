/**
 * The panel beside the map: what colours mean, how many cells there are of each, and which are left out.
 * @module map_legend
 */
import { KINDS, MODES, countsOf, paletteOf } from "./map_colors.js";
import { _, number } from "./messages.js";

/** What cells are coloured by, and the filter. */
export class Legend {
  mode = "class";
  unlabelled = false;
  off = Object.fromEntries(KINDS.map((kind) => [kind, new Set()]));

  /**
   * @param {HTMLElement} panel
   * @param {HTMLCanvasElement} canvas
   * @param {{classes: {code: string, name: string, color: string}[], scanners: {name: string}[]}} names
   * @param {() => void} onChange
   */
  constructor(panel, canvas, { classes, scanners }, onChange) {
    Object.assign(this, { panel, canvas, classes, onChange });
    this.names = {
      class: [{ code: _("none"), name: _("not labelled") }, ...classes],
      prediction: [{ code: _("none"), name: _("no prediction") }, ...classes],
      scanner: [{ code: _("none"), name: "" }, ...scanners.map(({ name }) => ({ code: name, name: "" }))],
    };
    panel.addEventListener("click", (event) => this.#clicked(event.target.closest("button")?.dataset ?? {}));
  }

  /** Colour by what comes next, or by `mode`. */
  colorBy(mode = MODES[(MODES.indexOf(this.mode) + 1) % MODES.length]) {
    this.mode = mode;
    this.onChange();
  }

  /** Show cells with a label too, or only those without. */
  toggleUnlabelled() {
    this.unlabelled = !this.unlabelled;
    this.onChange();
  }

  /** Show all cells. */
  clear() {
    this.unlabelled = false;
    for (const kind of KINDS) this.off[kind].clear();
    this.onChange();
  }

  /** @returns {boolean} whether some cells may be left out */
  get filtered() {
    return this.unlabelled || KINDS.some((kind) => this.off[kind].size);
  }

  /** @returns {string} what a cell is */
  name(kind, place) {
    return place ? this.names[kind][place].code : "";
  }

  /** Draw the panel. @returns {Uint8Array} the colours of the shades @param {import("./map_data.js").MapData} data */
  paint(data) {
    const { colors, css } = paletteOf(this.canvas, this.mode, this.classes);
    for (const button of this.panel.querySelectorAll("[data-mode]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === this.mode));
    }
    this.panel.querySelector('[data-command="unlabelled"]').setAttribute("aria-pressed", String(this.unlabelled));
    this.panel.querySelector('[data-command="show-all"]').disabled = !this.filtered;
    const confidence = this.mode === "confidence";
    this.panel.querySelector("#confidence-scale").hidden = !confidence;
    const list = this.panel.querySelector("#legend");
    list.hidden = confidence;
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.place : null;
    list.replaceChildren(...(confidence ? [] : this.#items(countsOf(data, this.mode, this.names[this.mode].length), css)));
    if (focused !== null) list.querySelector(`[data-place="${focused}"]`)?.focus();
    return colors;
  }

  #items(counts, css) {
    return this.names[this.mode].flatMap(({ code, name }, place) => {
      if (!place && !counts[0]) return [];
      const item = document.getElementById("legend-item").content.firstElementChild.cloneNode(true);
      const button = item.querySelector("button");
      button.dataset.place = place;
      button.setAttribute("aria-pressed", String(!this.off[this.mode].has(place)));
      button.title = name;
      item.querySelector(".swatch").style.backgroundColor = css(place);
      const texts = { ".legend-code": code, ".legend-name": name, ".legend-count": number(counts[place]) };
      for (const [selector, text] of Object.entries(texts)) item.querySelector(selector).textContent = text;
      return [item];
    });
  }

  #clicked({ mode, place, toggleAll }) {
    if (mode) this.colorBy(mode);
    if (place !== undefined) {
      const off = this.off[this.mode];
      if (!off.delete(Number(place))) off.add(Number(place));
      this.onChange();
    }
    if (toggleAll && this.mode !== "confidence") {
      this.off[this.mode] = new Set(toggleAll === "on" ? [] : this.names[this.mode].keys());
      this.onChange();
    }
  }
}
