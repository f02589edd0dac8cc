/**
 * Undo and redo of any number of steps, kept for this tab and project across reloads.
 * @module history
 *
 * @typedef {object} Change one cell of a step
 * @property {number} cell_id
 * @property {import("./tiles.js").CellState} before
 * @property {import("./tiles.js").CellState} after
 *
 * @typedef {object} Step
 * @property {string} action id under which it was saved
 * @property {Change[]} changes none where only the server knows which cells were changed
 * @property {number} [bulk] so many cells were changed by the server
 */

/** Two stacks of steps in sessionStorage. */
export class History {
  #undo = [];
  #redo = [];
  #timer = 0;

  /**
   * @param {string} key of sessionStorage
   * @param {() => void} onChange
   */
  constructor(key, onChange) {
    this.key = key;
    this.onChange = onChange;
    try {
      ({ undo: this.#undo, redo: this.#redo } = JSON.parse(sessionStorage.getItem(key)) ?? { undo: [], redo: [] });
    } catch {
      sessionStorage.removeItem(key); // Written by something else; an empty history is right.
    }
    addEventListener("pagehide", () => this.#store());
  }

  /** @returns {number} */
  get undoable() {
    return this.#undo.length;
  }

  /** @returns {number} */
  get redoable() {
    return this.#redo.length;
  }

  /** Remember a new step; what had been undone can no longer be redone. @param {Step} step */
  record(step) {
    this.#undo.push(step);
    this.#redo = [];
    this.#changed();
  }

  /** @returns {Step|undefined} the step to take back, the last one or that of an action @param {string} [action] */
  undo(action) {
    return this.#move(this.#undo, this.#redo, action);
  }

  /** @returns {Step|undefined} the step to do again @param {string} [action] */
  redo(action) {
    return this.#move(this.#redo, this.#undo, action);
  }

  /** Drop a step the server refused. @param {string} action */
  forget(action) {
    this.#undo = this.#undo.filter((step) => step.action !== action);
    this.#redo = this.#redo.filter((step) => step.action !== action);
    this.#changed();
  }

  /** Take back an undo or redo the server refused: the step goes to the other stack. @param {string} action */
  flip(action) {
    if (!this.undo(action)) this.redo(action);
  }

  #move(from, to, action) {
    const place = action === undefined ? from.length - 1 : from.findIndex((step) => step.action === action);
    const [step] = place < 0 ? [] : from.splice(place, 1);
    if (step) to.push(step);
    this.#changed();
    return step;
  }

  #changed() {
    this.onChange();
    // Writing the whole stack on every key would cost milliseconds in a long session.
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#store(), 500);
  }

  #store() {
    clearTimeout(this.#timer);
    while (this.#undo.length || this.#redo.length) {
      try {
        sessionStorage.setItem(this.key, JSON.stringify({ undo: this.#undo, redo: this.#redo }));
        return;
      } catch {
        // The quota is full: the oldest half of the steps is what a person misses least.
        this.#undo.splice(0, Math.ceil(this.#undo.length / 2));
        if (!this.#undo.length) this.#redo = [];
      }
    }
    sessionStorage.removeItem(this.key);
  }
}
