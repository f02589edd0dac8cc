/**
 * Which cells the next key or click acts on: selected ones, the one under the pointer, the focused one.
 * @module selection
 */

/** Focus (roving tabindex), selection and aim of the grid. */
export class Selection {
  #selected = new Set();
  #hovered = null;
  #focused = null;
  #anchor = null;
  #pointer = "";

  /**
   * @param {import("./tiles.js").Tiles} tiles
   * @param {() => void} onChange called after the selection has changed
   */
  constructor(tiles, onChange) {
    this.tiles = tiles;
    this.onChange = onChange;
    const { grid } = tiles;
    grid.addEventListener("pointermove", (event) => this.#aim(event));
    grid.addEventListener("pointerleave", () => { this.#hovered = null; });
    grid.addEventListener("focusin", (event) => this.#setFocused(event.target.closest(".tile")));
    grid.addEventListener("click", (event) => this.#click(event));
    this.settle();
  }

  /** @returns {HTMLElement[]} selected tiles in order of display */
  get selected() {
    return this.tiles.all().filter((tile) => this.#selected.has(tile));
  }

  /** @returns {number} */
  get size() {
    return this.#selected.size;
  }

  /** @returns {HTMLElement|null} the tile that has the keyboard's place, whether or not it has focus now */
  get focused() {
    return this.#focused;
  }

  /** @returns {boolean} true where the pointer chose last, so that keys act on the tile below it */
  get byPointer() {
    return this.tiles.grid.dataset.aim === "pointer" && this.#hovered !== null;
  }

  /**
   * What a class key acts on. Several selected tiles always win; otherwise the last thing touched does:
   * the tile under a pointer that has moved, or the selected or focused one.
   * @returns {HTMLElement[]}
   */
  targets() {
    if (this.#selected.size > 1) return this.selected;
    if (this.byPointer) return [this.#hovered];
    if (this.#selected.size === 1) return this.selected;
    return this.#focused?.contains(document.activeElement) ? [this.#focused] : [];
  }

  /** @returns {HTMLElement[]} everything a person may be about to act on: it must not move */
  touched() {
    const active = this.tiles.grid.contains(document.activeElement) ? [this.#focused] : [];
    return [...this.#selected, this.#hovered, ...active].filter((tile) => tile?.isConnected);
  }

  /** Put the keyboard on a tile. */
  focus(tile) {
    if (!tile) return;
    // Focus first: a changed tabindex of the element that has focus makes the browser lay out the page at once.
    tile.focus({ preventScroll: true });
    this.#setFocused(tile);
    this.tiles.grid.dataset.aim = "keys";
    // Scrolling measures the page; waiting for the frame measures it once, together with what the key has changed.
    requestAnimationFrame(() => this.#focused === tile && tile.scrollIntoView({ block: "nearest" }));
  }

  /**
   * Move the focus by a number of tiles.
   * @param {number} step negative moves back
   * @param {boolean} extend select everything between the anchor and the new place
   */
  move(step, extend = false) {
    const all = this.tiles.all();
    if (!all.length) return;
    const from = Math.max(all.indexOf(this.#focused), 0);
    const inGrid = this.tiles.grid.contains(document.activeElement);
    const to = inGrid ? Math.min(Math.max(from + step, 0), all.length - 1) : from;
    if (extend) {
      this.#anchor ??= all[from];
      this.#range(all, all[to]);
    } else {
      this.#anchor = null;
    }
    this.focus(all[to]);
  }

  /** Select exactly these tiles. */
  set(tiles) {
    const wanted = new Set(tiles);
    for (const tile of this.#selected) if (!wanted.has(tile)) tile.setAttribute("aria-selected", "false");
    for (const tile of wanted) if (!this.#selected.has(tile)) tile.setAttribute("aria-selected", "true");
    this.#selected = wanted;
    this.onChange();
  }

  /** Select all tiles of the page. */
  all() {
    this.set(this.tiles.all());
  }

  /** Select nothing. */
  clear() {
    this.#anchor = null;
    if (this.#selected.size) this.set([]);
  }

  /** After tiles have come and gone: forget those that went, keep exactly one tile reachable by Tab. */
  settle() {
    const gone = [...this.#selected].filter((tile) => !tile.isConnected);
    if (!this.#hovered?.isConnected) this.#hovered = null;
    if (!this.#anchor?.isConnected) this.#anchor = null;
    if (gone.length) this.set([...this.#selected].filter((tile) => tile.isConnected));
    if (!this.#focused?.isConnected) this.#setFocused(this.tiles.grid.querySelector(".tile"));
  }

  #aim(event) {
    const pointer = `${event.clientX},${event.clientY}`;
    const tile = event.target.closest(".tile");
    // Browsers also report a resting pointer when the page scrolls below it. That tells what lies under it now,
    // but only a hand that moves to another cell takes the aim from the keyboard.
    if (tile && tile !== this.#hovered && pointer !== this.#pointer) this.tiles.grid.dataset.aim = "pointer";
    this.#hovered = tile;
    this.#pointer = pointer;
  }

  #setFocused(tile) {
    if (tile === this.#focused) return;
    if (this.#focused) this.#focused.tabIndex = -1;
    this.#focused = tile ?? null;
    if (tile) tile.tabIndex = 0;
  }

  #range(all, to) {
    const [from, until] = [all.indexOf(this.#anchor), all.indexOf(to)].sort((a, b) => a - b);
    this.set(all.slice(from, until + 1));
  }

  #click(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return this.clear();
    const all = this.tiles.all();
    if (event.shiftKey && (this.#anchor ?? this.#focused)) {
      this.#anchor ??= this.#focused;
      this.#range(all, tile);
    } else if (event.ctrlKey || event.metaKey || event.pointerType === "touch") {
      const next = new Set(this.#selected);
      if (!next.delete(tile)) next.add(tile);
      this.#anchor = tile;
      this.set(next);
    } else {
      this.#anchor = tile;
      this.set([tile]);
    }
    this.#setFocused(tile);
    tile.focus({ preventScroll: true });
    return undefined;
  }
}
