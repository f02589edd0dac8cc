/**
 * The map of a project: its cells, what of them is seen, the cursor, and what is caught.
 * @module cell_map
 */
import { postJson } from "./api.js";
import { CellCard } from "./map_cell.js";
import { shadesOf } from "./map_colors.js";
import { HIDDEN, MapData } from "./map_data.js";
import { Legend } from "./map_legend.js";
import { MapView } from "./map_view.js";
import { _, ngettext, number } from "./messages.js";
import { toast } from "./toast.js";

const REACH = 14; // pixels around the pointer in which a cell is found
const AROUND = 200; // cells caught around the cursor: a page of the grid
const REST_MS = 2000; // between two looks at new labels and predictions
const EMPHASIS = 1.5; // of labelled cells among many that are not

const byId = (id) => document.getElementById(id);

/** Everything about a map that is laid out. */
export class CellMap {
  #caught = null; // rows
  #cursor = -1;
  #hovered = -1;
  #lassoing = false;
  #looking = false;
  #again = false;
  #shades = 0;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {DOMStringMap} page `project`, `map`, `mostCaught`, and as JSON `classes` and `scanners`
   * @throws {Error} where nothing can be drawn
   */
  constructor(canvas, page) {
    const { project } = page;
    const names = { classes: JSON.parse(page.classes), scanners: JSON.parse(page.scanners) };
    const [classIds, scannerIds] = [names.classes, names.scanners].map((items) => items.map(({ id }) => id));
    Object.assign(this, { canvas, project, id: page.map, most: Number(page.mostCaught) });
    this.data = new MapData(`/projects/${project}/map/${page.map}`, classIds, scannerIds);
    this.view = new MapView(canvas, () => this.#moved());
    this.legend = new Legend(byId("map-panel"), canvas, names, () => this.repaint());
    this.card = new CellCard({ project, card: byId("map-card"), dialog: byId("cell"), data: this.data, legend: this.legend });
    this.#remember();
  }

  /** Read new cells, labels and predictions, at first all; calls while that is done are joined into one more. */
  async refresh() {
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    while (this.#again) {
      this.#again = false;
      await this.#look();
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
    }
    this.#looking = false;
  }

  async #look() {
    this.canvas.setAttribute("aria-busy", String(!this.data.length));
    try {
      await this.data.loadPoints();
      await this.data.loadValues();
      this.repaint();
    } catch (error) {
      // The live connection says when the server is there again, and calls once more.
      if (!this.data.length) toast(_("The map could not be loaded. %(reason)s", { reason: error.message }), { kind: "error" });
    }
    this.canvas.setAttribute("aria-busy", "false");
  }

  /** Draw all of it once before the next frame, however much has changed. */
  repaint() {
    this.#shades ||= requestAnimationFrame(() => this.#paint());
  }

  /** What is shown is decided now, for a key may come before the next frame. */
  #settle() {
    if (!this.#shades) return;
    cancelAnimationFrame(this.#shades);
    this.#paint();
  }

  #paint() {
    this.#shades = 0;
    const { data, legend, view } = this;
    const caught = this.#caught && new Uint8Array(data.length);
    for (const row of this.#caught ?? []) caught[row] = 1;
    data.shades = shadesOf(data, legend.mode, legend, caught);
    this.#caught &&= this.#caught.filter((row) => data.shades[row] !== HIDDEN); // left out since
    view.emphasis = legend.mode === "class" ? EMPHASIS : 1;
    view.show(data.places, data.shades, legend.paint(data));
    this.#describe();
  }

  #describe() {
    let shown = 0;
    for (const shade of this.data.shades) shown += shade !== HIDDEN;
    const all = this.data.present;
    const total = ngettext("%(num)s cell", "%(num)s cells", all);
    const some = _("%(shown)s of %(total)s cells", { shown: number(shown), total: number(all) });
    byId("map-count").textContent = this.legend.filtered ? some : total;
    const count = this.#caught?.length ?? 0;
    byId("catch-bar").hidden = !this.#caught;
    if (this.#caught) byId("catch-count").textContent = ngettext("%(num)s cell caught.", "%(num)s cells caught.", count);
    this.#moved();
  }

  /** Catch cells: they are what goes into the grid. @param {number[]} rows */
  catch(rows) {
    if (!rows.length) return void toast(_("No cell that is shown lies there."));
    this.#caught = rows;
    this.lasso(false);
    byId("lasso").setAttribute("points", "");
    this.repaint();
    byId("catch-bar").hidden = false;
    byId("to-grid").focus();
  }

  /** Let go what is caught, then the cursor. */
  letGo() {
    if (this.#lassoing) return this.lasso(false);
    if (this.#caught) this.#caught = null;
    else this.#cursor = -1;
    this.canvas.focus();
    return this.repaint();
  }

  /** Show what is caught in the grid, the middle first. */
  async toGrid() {
    if (!this.#caught) return void toast(_("Catch cells first: ⇧ L and draw around them, or ⇧ W for all you see."));
    if (this.#caught.length > this.most) return void toast(_("At most %(most)s cells fit into the grid at once: come closer or leave some out.", { most: number(this.most) }));
    const cells = this.data.fromMiddle(this.#caught).map((row) => this.data.ids[row]);
    try {
      const { url } = await postJson(`/projects/${this.project}/map/batches`, { cell_ids: cells });
      location.assign(url);
    } catch (error) {
      toast(error.message, { kind: "error" });
    }
  }

  /** Catch the cells in sight. */
  catchWindow() {
    this.#settle();
    const { view, data } = this;
    const corners = [[0, 0], [view.width, 0], [view.width, view.height], [0, view.height]].map(([x, y]) => view.toMap(x, y));
    this.catch(data.inside(corners));
  }

  /** Catch the cells around the cursor. */
  catchAround() {
    this.#settle();
    const row = this.current;
    if (row < 0) return void toast(_("Move to a cell first: ⇧ and the arrow keys."));
    return this.catch(this.data.closest(this.data.at(row), AROUND));
  }

  /** Draw a lasso. @param {{x: number, y: number}[]} corners on the map @param {boolean} done */
  drawn(corners, done) {
    this.corners = done ? null : corners;
    this.#moved();
    if (!done) return;
    this.#settle();
    this.catch(this.data.inside(corners));
  }

  /** Let a drag catch, or not. */
  lasso(on = !this.#lassoing) {
    this.#lassoing = on;
    this.canvas.classList.toggle("is-lassoing", on);
    document.querySelector('[data-command="lasso"]').setAttribute("aria-pressed", String(on));
  }

  /** @returns {boolean} */
  get lassoing() {
    return this.#lassoing;
  }

  /** @returns {number} row of the cell a key is meant for: the one under the pointer, else the one at the cursor */
  get current() {
    return this.#hovered >= 0 ? this.#hovered : this.#cursor;
  }

  /** The pointer is somewhere. @param {{x: number, y: number}|null} at */
  hover(at) {
    this.#hovered = at ? this.#below(at) : -1;
    this.#moved();
  }

  /** Set the cursor. @param {{x: number, y: number}} at */
  point(at) {
    this.#cursor = this.#below(at);
    this.#moved();
  }

  /** Move the cursor to the next cell in a direction; at first to the one in the middle. */
  step(dx, dy) {
    this.#settle();
    const { data, view } = this;
    this.#hovered = -1;
    const from = this.#cursor < 0 ? view.centre : data.at(this.#cursor);
    // Within 45 degrees of the direction, and farther than the same place.
    const ahead = (x, y) => x * dx + y * dy > Math.abs(x * dy - y * dx);
    let next = -1;
    for (let reach = REACH / view.scale; next < 0 && reach < 8; reach *= 2) {
      next = this.#cursor < 0 ? data.nearest(from, reach) : data.nearest(from, reach, ahead);
    }
    if (next < 0) return;
    this.#cursor = next;
    const at = view.toPage(data.at(next));
    const edge = REACH * 3;
    if (at.x < edge || at.y < edge || at.x > view.width - edge || at.y > view.height - edge) view.look(data.at(next), view.zoom);
    byId("map-said").textContent = this.card.describe(next).replaceAll("\n", ", ");
    this.#moved();
  }

  /** Show a cell in large. */
  open(row = this.current) {
    if (row < 0) toast(_("Move to a cell first: ⇧ and the arrow keys."));
    else this.card.open(row);
  }

  /** Show the cells most like the current one in the grid. */
  similar() {
    if (this.current < 0) toast(_("Move to a cell first: ⇧ and the arrow keys."));
    else location.assign(`/projects/${this.project}/cells?order=similar&similar=${this.data.ids[this.current]}`);
  }

  #below(at) {
    return this.data.nearest(this.view.toMap(at.x, at.y), REACH / this.view.scale);
  }

  /** Put what lies over the points where it belongs. */
  #moved() {
    if (!this.card) return; // while the parts are made
    const { data, view } = this;
    for (const [id, row] of [["cursor", this.#cursor], ["hover", this.#hovered]]) {
      const ring = byId(id);
      ring.toggleAttribute("hidden", row < 0 || data.shades[row] === HIDDEN);
      if (row < 0) continue;
      const { x, y } = view.toPage(data.at(row));
      ring.setAttribute("cx", x);
      ring.setAttribute("cy", y);
      ring.setAttribute("r", Math.max(view.pointSize, 6));
    }
    const told = this.#caught || this.corners ? this.#hovered : this.current; // nothing lies over what is caught
    this.card.show(told, told < 0 ? undefined : view.toPage(data.at(told)));
    const corners = (this.corners ?? []).map((corner) => view.toPage(corner));
    byId("lasso").setAttribute("points", corners.map(({ x, y }) => `${x},${y}`).join(" "));
  }

  /** Come back to where one was before the grid. */
  #remember() {
    const key = `fiftycells.map/${this.id}`;
    const { centre, zoom, mode } = JSON.parse(sessionStorage.getItem(key)) ?? {};
    if (centre) this.view.look(centre, zoom);
    if (mode) this.legend.mode = mode;
    addEventListener("pagehide", () => {
      sessionStorage.setItem(key, JSON.stringify({ centre: this.view.centre, zoom: this.view.zoom, mode: this.legend.mode }));
    });
  }
}
