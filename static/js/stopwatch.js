/**
 * How long a person has worked since their last decision.
 * @module stopwatch
 */

const LONGEST_PAUSE_MS = 60_000; // of a longer time without a key or a movement the rest does not count
const LONGEST_MS = 3_600_000; // as the server has it
const SIGNS_OF_WORK = ["keydown", "pointerdown", "pointermove", "wheel"];

/** Runs while the page is in sight. */
export class Stopwatch {
  #worked = 0; // ms
  #since = document.hidden ? null : performance.now(); // the last sign of work; null while the tab is hidden

  constructor() {
    for (const name of SIGNS_OF_WORK) addEventListener(name, () => this.#note(), { capture: true, passive: true });
    document.addEventListener("visibilitychange", () => {
      this.#note();
      this.#since = document.hidden ? null : performance.now();
    });
  }

  /** @returns {number} seconds since the last call, or since the page was shown */
  take() {
    this.#note();
    const worked = Math.min(this.#worked, LONGEST_MS);
    this.#worked = 0;
    return worked / 1000;
  }

  #note() {
    if (this.#since === null) return;
    const now = performance.now();
    this.#worked += Math.min(now - this.#since, LONGEST_PAUSE_MS);
    this.#since = now;
  }
}
