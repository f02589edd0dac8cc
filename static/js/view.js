/**
 * Brightness and contrast of the pictures, for the eye alone: nothing that is stored or computed knows of them.
 * @module view
 */
import { userName } from "./api.js";
import { _ } from "./messages.js";

const NEUTRAL = { brightness: 100, contrast: 100 }; // per cent
const STEP = 10;

/** The menu "View" and what it changes, kept for this person in this browser. */
export class View {
  #now;

  /** @param {HTMLElement} menu */
  constructor(menu) {
    this.menu = menu;
    this.key = `fiftycells.view/${userName()}`;
    this.#now = { ...NEUTRAL, ...JSON.parse(localStorage.getItem(this.key)) };
    menu.addEventListener("input", ({ target }) => this.#set(target.name, target.valueAsNumber));
    document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
    this.#show();
  }

  /** @param {"brightness"|"contrast"} name @param {number} steps */
  change(name, steps) {
    this.#set(name, this.#now[name] + steps * STEP);
  }

  /** Show pictures as they are stored. */
  reset() {
    this.#now = { ...NEUTRAL };
    this.#show();
  }

  #set(name, value) {
    const { min, max } = this.menu.querySelector(`[name="${name}"]`);
    this.#now[name] = Math.min(Math.max(value, Number(min)), Number(max));
    this.#show();
  }

  #show() {
    const { brightness, contrast } = this.#now;
    const root = document.documentElement;
    for (const [name, value] of Object.entries(this.#now)) {
      root.style.setProperty(`--${name}`, value / 100);
      this.menu.querySelector(`[name="${name}"]`).value = value;
      this.menu.querySelector(`#${name}-value`).textContent = `${value} %`;
    }
    const changed = brightness !== NEUTRAL.brightness || contrast !== NEUTRAL.contrast;
    root.toggleAttribute("data-view-changed", changed);
    const sign = changed ? _("brightness %(brightness)s %%, contrast %(contrast)s %%", { brightness, contrast }) : "";
    this.menu.querySelector("#view-sign").textContent = changed ? `☀ ${brightness} ◐ ${contrast}` : "";
    this.menu.querySelector("summary").title = sign;
    for (const note of document.querySelectorAll("[data-view-note]")) note.textContent = sign;
    localStorage.setItem(this.key, JSON.stringify(this.#now));
  }
}
