/**
 * Pages of the grid: filters, next and previous, loading ahead, following new scores.
 * @module pages
 */
import { getFragment, getJson, postJson } from "./api.js";
import { copyPageData, mergePage, pinnedCount } from "./merge.js";
import { _ } from "./messages.js";
import { cellId, paintAnnotation, paintPrediction } from "./tiles.js";
import { toast } from "./toast.js";

const REST_MS = 250; // between two merges, so that fast labelling does not redraw the page on every key
const REST_SHARE = 3; // rest so many times as long as a merge took: where many people follow, the server has time to save
const IDS_PER_REQUEST = 100;
const whenIdle = window.requestIdleCallback ?? ((work) => setTimeout(work, 200));

/** Loads pages into the grid. */
export class Pages {
  #ahead = null; // {url, page, askedAt}: the next page, loaded before it is asked for
  #navigation = 0;
  #serving = false;
  #refreshing = false;
  #stale = false;

  /**
   * @param {object} parts
   * @param {import("./tiles.js").Tiles} parts.tiles
   * @param {import("./selection.js").Selection} parts.selection
   * @param {import("./save_queue.js").SaveQueue} parts.queue
   * @param {HTMLFormElement} parts.form the filters
   * @param {HTMLElement} parts.scroller
   * @param {() => void} parts.onPage called after the page or its facts have changed
   * @param {() => void} parts.onSignedOut called when a refresh finds nobody signed in
   */
  constructor(parts) {
    Object.assign(this, parts);
    this.grid = parts.tiles.grid;
    this.url = location.pathname + location.search;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.open(this.#urlFor(""));
    });
    this.form.addEventListener("change", () => this.open(this.#urlFor("")));
    this.#showOwnOrders();
    this.overlay();
    this.#lookAhead();
  }

  /** @returns {{scanner: string, slide: string}} where the cells are that the filters say, empty for anywhere */
  get place() {
    const { scanner, slide } = Object.fromEntries(new FormData(this.form));
    return { scanner, slide };
  }

  /** @returns {string|null} address of the next page */
  get nextUrl() {
    return this.grid.dataset.nextCursor ? this.#urlFor(this.grid.dataset.nextCursor) : null;
  }

  /** @returns {string|null} address of the previous page; the first page has no cursor */
  get previousUrl() {
    return Number(this.grid.dataset.offset) > 0 ? this.#urlFor(this.grid.dataset.previousCursor) : null;
  }

  /** Turn to the next page. */
  next() {
    if (this.nextUrl) this.open(this.nextUrl);
    else toast(_("This is the last page."));
  }

  /** Turn to the previous page. */
  previous() {
    if (this.previousUrl) this.open(this.previousUrl);
    else toast(_("This is the first page."));
  }

  /** Turn to the page that begins at a place of the batch. @param {number} place */
  openAt(place) {
    return this.open(`${this.#urlFor("")}&place=${place}`);
  }

  /** Show the page at an address of ours. @param {string} url */
  async open(url) {
    const navigation = ++this.#navigation;
    const ahead = this.#ahead?.url === url ? this.#ahead : null;
    if (!ahead) this.grid.classList.add("is-loading");
    try {
      const askedAt = ahead?.askedAt ?? performance.now();
      const page = ahead?.page ?? (await this.#fetch(url));
      if (navigation === this.#navigation) this.#show(url, page, askedAt);
    } catch (error) {
      if (navigation === this.#navigation) toast(`${_("The page could not be loaded.")} ${error.message}`, { kind: "error" });
    } finally {
      if (navigation === this.#navigation) this.grid.classList.remove("is-loading");
    }
  }

  /**
   * Let the server put cells together and show them, the keyboard on the first.
   * @param {string} path of the request
   * @param {object} [body]
   */
  async serve(path, body = {}) {
    if (this.#serving) return;
    this.#serving = true;
    try {
      await this.queue.idle(); // what was labelled a moment ago must not be chosen again
      const { url } = await postJson(path, body);
      await this.openAndFocus(url);
    } catch (error) {
      toast(error.message, { kind: error.status === 409 ? "info" : "error" });
    } finally {
      this.#serving = false;
    }
  }

  /** Show a page, the keyboard on its first cell. @param {string} url */
  async openAndFocus(url) {
    await this.open(url);
    this.selection.focus(this.grid.querySelector(".tile"));
  }

  /** Follow new scores: merge a fresh copy of this page. Calls during a merge are joined into one more. */
  async refresh() {
    this.#stale = true;
    if (this.#refreshing) return;
    this.#refreshing = true;
    while (this.#stale) {
      this.#stale = false;
      const began = performance.now();
      // The live connection says when the server is away; it cannot tell why.
      await this.#mergeFresh().catch((error) => error.status === 401 && this.onSignedOut());
      const rest = Math.max(REST_MS, REST_SHARE * (performance.now() - began));
      await new Promise((resolve) => setTimeout(resolve, rest));
    }
    this.#refreshing = false;
  }

  /** Show labels that are still on their way on tiles the server drew. */
  overlay(askedAt = Infinity) {
    for (const tile of this.tiles.all()) {
      const known = this.queue.known(cellId(tile), askedAt);
      if (known) paintAnnotation(tile, known);
    }
  }

  async #mergeFresh() {
    const { url } = this;
    const [navigation, askedAt] = [this.#navigation, performance.now()];
    const page = await this.#fetch(url);
    // Asked for while another page was already on its way, this one is old even though nobody has turned since.
    if (navigation !== this.#navigation || url !== this.url) return;
    const keep = pinnedCount(this.tiles.all(), this.selection.touched(), this.tiles.columns());
    const untold = mergePage(this.grid, page, keep, (id) => this.queue.known(id, askedAt));
    this.#ahead = null;
    this.#changed();
    if (untold.length) await this.#refreshCells(untold, navigation);
  }

  async #refreshCells(ids, navigation) {
    const askedAt = performance.now();
    for (let at = 0; at < ids.length; at += IDS_PER_REQUEST) {
      const some = ids.slice(at, at + IDS_PER_REQUEST);
      const { cells } = await getJson(`${this.form.getAttribute("action")}/state?ids=${some.join(",")}`);
      if (navigation !== this.#navigation) return;
      for (const cell of cells) this.#refreshCell(cell, askedAt);
    }
  }

  #refreshCell(cell, askedAt) {
    const tile = this.tiles.get(cell.cell_id);
    if (!tile) return;
    const annotated = { class: cell.class ?? "", source: cell.class_source ?? "label", by: cell.by ?? "" };
    paintAnnotation(tile, this.queue.known(cell.cell_id, askedAt) ?? annotated);
    const { predicted, confidence, novelty } = cell;
    paintPrediction(tile, { predicted: predicted ?? "", confidence: confidence ?? "", novelty: novelty ?? "" });
  }

  async #fetch(url) {
    const page = (await getFragment(url)).getElementById("grid");
    if (!page) throw new Error(_("The server's answer holds no grid."));
    return page;
  }

  #show(url, page, askedAt) {
    const hadFocus = this.grid.contains(document.activeElement);
    this.selection.clear();
    copyPageData(this.grid, page);
    this.grid.replaceChildren(...page.children);
    this.scroller.scrollTop = 0;
    this.url = url;
    history.replaceState(null, "", url);
    this.#fillForm(url);
    this.overlay(askedAt);
    this.#changed();
    if (hadFocus) this.selection.focus(this.grid.querySelector(".tile"));
    this.#ahead = null;
  }

  /** The filters show what the page shows, however it was reached. */
  #fillForm(url) {
    const wanted = new URL(url, location.href).searchParams;
    for (const field of this.form.elements) {
      if (field.name) field.value = wanted.get(field.name) ?? field.querySelector?.("option")?.value ?? "";
    }
    this.#showOwnOrders();
  }

  /** Two orders mean something only among chosen cells, or beside a cell to compare with. */
  #showOwnOrders() {
    for (const name of ["batch", "similar"]) {
      this.form.querySelector(`option[value="${name}"]`).hidden = !this.form.elements[name].value;
    }
  }

  /** Show the cells most like one, the filters as they are. @param {number} cell */
  openSimilar(cell) {
    const query = new URLSearchParams(this.#urlFor("").split("?")[1]);
    query.delete("batch");
    query.set("order", "similar");
    query.set("similar", cell);
    return this.openAndFocus(`${this.form.getAttribute("action")}?${query}`);
  }

  #changed() {
    this.selection.settle();
    this.onPage();
    this.#lookAhead();
  }

  #lookAhead() {
    whenIdle(async () => {
      const url = this.nextUrl;
      if (!url || this.#ahead?.url === url) return;
      const askedAt = performance.now();
      const page = await this.#fetch(url).catch(() => null);
      if (!page || url !== this.nextUrl) return;
      this.#ahead = { url, page, askedAt };
      for (const image of page.querySelectorAll("img")) new Image().src = image.getAttribute("src");
    });
  }

  #urlFor(cursor) {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(this.form)) if (value) query.set(name, value);
    if (cursor) query.set("cursor", cursor);
    return `${this.form.getAttribute("action")}?${query}`;
  }
}
