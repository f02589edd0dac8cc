/**
 * The panel of classes: keys, meters towards the target, counts of predictions.
 * @module classes
 */
import { _, number } from "./messages.js";

const percent = (share) => Math.round(100 * share);

/** Recall with its interval and what ten more labels would add, in points. */
function describe(figure) {
  if (!figure) return "";
  const values = { recall: percent(figure.recall), low: percent(figure.low), high: percent(figure.high) };
  if (figure.gain === null) return _("recall %(recall)s %% (%(low)s–%(high)s)", values);
  return _("recall %(recall)s %% (%(low)s–%(high)s), 10 more: +%(gain)s", { ...values, gain: number(100 * figure.gain, 1) });
}

/** The class buttons of the page and their counts. */
export class ClassPanel {
  #buttons = new Map();
  #keys = new Map();
  #counts = new Map();

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} note where the sentence about the target goes
   */
  constructor(list, note) {
    this.note = note;
    this.list = list;
    this.target = Number(list.dataset.target);
    for (const button of list.querySelectorAll(".class-button")) {
      const { classCode, key, count } = button.dataset;
      this.#buttons.set(classCode, button);
      this.#counts.set(classCode, Number(count));
      if (key) this.#keys.set(key.toLowerCase(), classCode);
      this.#paint(classCode);
    }
    // Clicking a class must not take the keyboard away from the grid.
    list.addEventListener("mousedown", (event) => event.target.closest(".class-button") && event.preventDefault());
    this.#summarise();
  }

  /** @returns {string|undefined} code of the class with this key @param {string} key as in `event.key` */
  byKey(key) {
    return this.#keys.get(key.toLowerCase());
  }

  /** Count labels that changed here before the server tells. @param {import("./history.js").Change[]} changes */
  adjust(changes) {
    const touched = new Set();
    for (const { before, after } of changes) {
      if (before.class === after.class) continue;
      for (const [code, step] of [[before.class, -1], [after.class, 1]]) {
        if (!this.#counts.has(code)) continue;
        this.#counts.set(code, Math.max(0, this.#counts.get(code) + step));
        touched.add(code);
      }
    }
    for (const code of touched) this.#paint(code);
    this.#summarise();
  }

  /**
   * Take over the server's counts.
   * @param {Map<string, {labels: number, predicted: number|undefined, unseen: number}>} counts by class code
   */
  set(counts) {
    for (const [code, { labels, predicted, unseen }] of counts) {
      if (!this.#counts.has(code)) continue;
      this.#counts.set(code, labels);
      const line = this.#buttons.get(code).querySelector(".class-unseen");
      line.textContent = unseen ? _("+%(count)s accepted unseen", { count: number(unseen) }) : "";
      this.#paint(code);
      if (predicted === undefined) continue;
      const link = this.list.querySelector(`[data-predicted-count="${CSS.escape(code)}"]`);
      link.hidden = false;
      link.querySelector(".number").textContent = number(predicted);
    }
    this.#summarise();
  }

  /**
   * Show the recall of each class and what ten more labels would bring.
   * @param {{meter?: string, advice?: string}} page `meter` is JSON: {CODE: {recall, low, high, gain}}
   */
  setMeter({ meter, advice }) {
    const figures = meter ? JSON.parse(meter) : {};
    for (const line of this.list.querySelectorAll("[data-meter]")) {
      const text = describe(figures[line.dataset.meter]);
      if (line.textContent !== text) line.textContent = text;
    }
    const sentence = document.getElementById("advice");
    sentence.hidden = !advice;
    if (sentence.textContent !== (advice ?? "")) sentence.textContent = advice ?? "";
  }

  /** Light a class button for a moment: which key was taken. @param {string} code */
  flash(code) {
    const button = this.#buttons.get(code);
    button?.classList.add("is-hit");
    setTimeout(() => button?.classList.remove("is-hit"), 150);
  }

  #paint(code) {
    const button = this.#buttons.get(code);
    const count = this.#counts.get(code);
    button.dataset.count = count;
    button.querySelector(".class-count b").textContent = count;
    button.querySelector("progress").value = Math.min(count, this.target);
    button.classList.toggle("is-full", count >= this.target);
  }

  #summarise() {
    if (!this.#counts.size) return;
    const full = [...this.#counts.values()].filter((count) => count >= this.target).length;
    const values = { full, total: this.#counts.size, target: this.target };
    const text = _("%(full)s of %(total)s classes have %(target)s labels", values);
    if (this.note.textContent !== text) this.note.textContent = text;
  }
}

/**
 * Read `data-counts` of the grid: `CODE=labels.predicted.unseen` separated by spaces, codes percent-encoded.
 * @param {string} text
 * @param {boolean} scored whether a classifier has made the predictions
 * @returns {Map<string, {labels: number, predicted: number|undefined, unseen: number}>}
 */
export function parseCounts(text, scored) {
  return new Map(
    text.trim().split(/\s+/).filter(Boolean).map((part) => {
      const at = part.lastIndexOf("=");
      const [labels, predicted, unseen] = part.slice(at + 1).split(".").map(Number);
      return [decodeURIComponent(part.slice(0, at)), { labels, predicted: scored ? predicted : undefined, unseen }];
    }),
  );
}
