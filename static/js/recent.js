/**
 * The list of what this person did last in the project; any of it can be taken back, or done again.
 * @module recent
 */
import { getFragment } from "./api.js";
import { relativeTimes } from "./times.js";
import { toast } from "./toast.js";

/** The dialog of recent actions. The server knows them, so they are there after a reload and at another computer. */
export class Recent {
  /**
   * @param {object} parts
   * @param {HTMLDialogElement} parts.dialog
   * @param {string} parts.project
   * @param {import("./save_queue.js").SaveQueue} parts.queue
   * @param {import("./labelling.js").Labeller} parts.labeller
   */
  constructor(parts) {
    Object.assign(this, parts);
    this.list = this.dialog.querySelector("#recent-list");
    this.list.addEventListener("click", (event) => this.#click(event.target.closest("[data-how]")));
    this.list.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Open the list, or close it. */
  async toggle() {
    if (this.dialog.open) return this.dialog.close();
    this.dialog.showModal(); // at once: the next key is meant for the list
    this.dialog.focus();
    await this.queue.idle(); // what was done a moment ago stands in it too
    if (!(await this.#load())) this.dialog.close();
    return undefined;
  }

  /** Something was saved: show it if the list is open. */
  async refresh() {
    if (this.dialog.open) await this.#load();
  }

  /** @returns {Promise<boolean>} whether the server has answered */
  async #load() {
    try {
      const page = await getFragment(`/projects/${this.project}/actions`);
      const { activeElement: active } = document;
      this.list.replaceChildren(...page.querySelector("#recent").children);
      relativeTimes(this.list);
      if (!active.closest("form")) this.#focus(active.closest("[data-action]")?.dataset.action);
      return true;
    } catch (error) {
      toast(error.message, { kind: "error" });
      return false;
    }
  }

  /** Put the keyboard on the row where it was, or on the first. */
  #focus(action) {
    (this.list.querySelector(`[data-action="${action}"] button`) ?? this.list.querySelector("button"))?.focus();
  }

  #click(button) {
    if (!button) return;
    const { action, cells } = button.closest("[data-action]").dataset;
    this.labeller.replay(button.dataset.how, action, Number(cells));
  }

  #move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...this.list.querySelectorAll("button")];
    buttons[buttons.indexOf(document.activeElement) + step]?.focus();
  }
}
