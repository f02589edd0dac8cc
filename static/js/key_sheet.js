/**
 * The sheet of keys, in which they are changed: Enter on a row, then the new key.
 * @module key_sheet
 */
import { postJson } from "./api.js";
import { keyOf, useKeys } from "./keys.js";
import { _ } from "./messages.js";

/** The dialog under "?". */
export class KeySheet {
  #editing = ""; // command

  /**
   * @param {HTMLDialogElement} dialog its `data-keys` hold what the server says, `data-page` which page's keys they are
   * @param {string} project
   */
  constructor(dialog, project) {
    Object.assign(this, { dialog, project });
    this.note = dialog.querySelector("#keys-note");
    this.#show(JSON.parse(dialog.dataset.keys));
    dialog.addEventListener("click", (event) => this.#click(event.target.closest("button")?.dataset ?? {}));
    dialog.addEventListener("keydown", (event) => (this.#editing ? this.#take(event) : this.#move(event)), { capture: true });
    dialog.addEventListener("close", () => this.#edit(""));
  }

  /** Open the sheet, or close it. */
  toggle() {
    if (this.dialog.open) this.dialog.close();
    else this.dialog.showModal();
  }

  #show(keys) {
    useKeys(keys);
    for (const row of this.dialog.querySelectorAll("[data-row]")) {
      const { texts, own } = keys[row.dataset.row];
      const printed = texts.map((text) => Object.assign(document.createElement("kbd"), { textContent: text }));
      row.querySelector("[data-edit]").replaceChildren(...(printed.length ? printed : ["–"]));
      row.querySelector("[data-reset]").hidden = !own;
    }
    this.dialog.querySelector("[data-reset='']").hidden = !Object.values(keys).some(({ own }) => own);
  }

  #click({ edit, reset }) {
    if (edit) this.#edit(edit);
    else if (reset !== undefined) void this.#save(reset, "");
  }

  #edit(command) {
    this.dialog.querySelector(".is-editing")?.classList.remove("is-editing");
    this.#editing = command;
    if (command) this.dialog.querySelector(`[data-row="${command}"]`).classList.add("is-editing");
    this.note.textContent = command ? _("Press the new key. Esc leaves it as it is.") : "";
  }

  #take(event) {
    const key = keyOf(event);
    if (event.key === "Tab" || !key) return;
    event.preventDefault();
    event.stopPropagation();
    if (key === "Escape") this.#edit("");
    else if (!event.repeat) void this.#save(this.#editing, key);
  }

  async #save(command, key) {
    try {
      this.#show(await postJson(`/projects/${this.project}/keys`, { page: this.dialog.dataset.page, command, key }));
      this.#edit("");
      this.note.textContent = _("Saved");
    } catch (error) {
      this.note.textContent = error.message;
    }
  }

  #move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const rows = [...this.dialog.querySelectorAll("[data-edit]")];
    (rows[rows.indexOf(document.activeElement) + step] ?? rows[0]).focus();
  }
}
