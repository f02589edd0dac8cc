/**
 * Which part of the map is seen. A machine that can draws all points in every frame. One that cannot, for want of a
 * graphics card, draws some in each frame onto a picture, and moves the last complete picture meanwhile.
 * @module map_view
 */
import { Renderer } from "./map_renderer.js";

const FILL = 0.94; // of the shorter side is taken by the whole map
const MARGIN = 1.2; // pictures are larger than the canvas, so that their edge is not seen at once while they are moved
const [FAST, SLOW] = [22, 34]; // milliseconds between two frames: more or fewer points in the next one
const [MORE, FEWER] = [1.25, 0.7];
const PATIENCE = 4; // times as many points, and as long, while nobody moves the map
const [FEWEST, AT_FIRST] = [10_000, 50_000];
const [FARTHEST, CLOSEST] = [0.5, 4000]; // zoom
const BORDER = 1.5; // the middle of the canvas stays this close to the middle of the map
const [SMALLEST, LARGEST] = [1.5, 10]; // points, in pixels of the page
const DENSITY = 0.1; // of the canvas would be covered, did the points not overlap
const GROWTH = 0.45; // of points as one comes closer: a power of the zoom

/** The canvas and what it shows: `centre` on the map and `zoom`, 1 for all of it. */
export class MapView {
  centre = { x: 0, y: 0 };
  zoom = 1;
  emphasis = 1; // how much larger points with a colour are
  #count = 0;
  #budget = AT_FIRST; // points of one frame
  #asked = 0; // when the next frame was asked for
  #moved = false; // since the last one
  #patience = 1; // of the last one
  #full = false; // it drew as many points as it might
  #stale = true; // no picture shows the present points
  #front = null; // the last complete picture
  #back = null; // the one that is made
  #spare = null;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} onMove called when another part is shown
   * @throws {Error} where there is no WebGL 2
   */
  constructor(canvas, onMove) {
    Object.assign(this, { canvas, onMove, renderer: new Renderer(canvas) });
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.#restore());
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
  }

  /**
   * Show points.
   * @param {Float32Array} places x, y of each
   * @param {Uint8Array} shades of each
   * @param {Uint8Array} colors red, green, blue and alpha of 256 shades
   */
  show(places, shades, colors) {
    if (places !== this.places) this.renderer.setPlaces(places);
    this.renderer.setShades(shades);
    this.renderer.setPalette(colors);
    Object.assign(this, { places, shades, colors });
    this.#count = shades.length;
    this.#stale = true;
    this.#ask();
  }

  /** Pixels of the page in one unit of the map. */
  get scale() {
    return (Math.min(this.width, this.height) / 2) * FILL * this.zoom;
  }

  /** @returns {{x: number, y: number}} the place at a point of the canvas, in pixels of the page */
  toMap(x, y) {
    return { x: this.centre.x + (x - this.width / 2) / this.scale, y: this.centre.y - (y - this.height / 2) / this.scale };
  }

  /** @returns {{x: number, y: number}} where on the canvas a place is seen */
  toPage({ x, y }) {
    return { x: this.width / 2 + (x - this.centre.x) * this.scale, y: this.height / 2 - (y - this.centre.y) * this.scale };
  }

  /** Move what is seen by pixels of the page. */
  pan(dx, dy) {
    this.look({ x: this.centre.x - dx / this.scale, y: this.centre.y + dy / this.scale }, this.zoom);
  }

  /** Come closer by a factor, towards a point of the canvas (its middle). */
  zoomBy(factor, x = this.width / 2, y = this.height / 2) {
    const fixed = this.toMap(x, y);
    const zoom = Math.min(Math.max(this.zoom * factor, FARTHEST), CLOSEST);
    const share = this.zoom / zoom;
    this.look({ x: fixed.x + (this.centre.x - fixed.x) * share, y: fixed.y + (this.centre.y - fixed.y) * share }, zoom);
  }

  /** Show a part. @param {{x: number, y: number}} centre @param {number} zoom */
  look({ x, y }, zoom) {
    const within = (value) => Math.min(Math.max(value, -BORDER), BORDER);
    this.centre = { x: within(x), y: within(y) };
    this.zoom = zoom;
    this.#moved = true;
    this.#ask();
    this.onMove();
  }

  /** @returns {number} pixels of the page that a point takes: more where there are few, or where one comes closer */
  get pointSize() {
    const room = (this.width * this.height) / Math.max(this.#count, 1);
    return Math.min(Math.max(Math.sqrt(DENSITY * room) * this.zoom ** GROWTH, SMALLEST), LARGEST);
  }

  /** @returns {import("./map_renderer.js").Camera} */
  get #camera() {
    const ratio = this.canvas.width / this.width;
    return { centre: this.centre, scale: this.scale * ratio, size: this.pointSize * ratio, emphasis: this.emphasis };
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    Object.assign(this, { width, height });
    Object.assign(this.canvas, { width: Math.round(width * devicePixelRatio), height: Math.round(height * devicePixelRatio) });
    this.#forgetPictures();
    this.#draw(); // at once: a canvas of another size is empty
    this.onMove();
  }

  #restore() {
    this.renderer.prepare();
    this.#front = this.#back = this.#spare = null;
    if (this.places) {
      const { places, shades, colors } = this;
      this.places = null;
      this.show(places, shades, colors);
    }
  }

  #forgetPictures() {
    for (const picture of [this.#front, this.#back, this.#spare]) this.renderer.forget(picture);
    this.#front = this.#back = this.#spare = null;
    this.#stale = true;
  }

  #ask() {
    if (this.#asked) return;
    this.#asked = performance.now();
    requestAnimationFrame(() => {
      this.#adapt(performance.now() - this.#asked);
      this.#asked = 0;
      this.#draw();
    });
  }

  /** Learn from the time a frame had to wait for the one before how many points one can hold. */
  #adapt(waited) {
    if (waited > SLOW * this.#patience) this.#budget = Math.max(this.#budget * FEWER, FEWEST);
    else if (waited < FAST && this.#full) this.#budget = Math.min(this.#budget * MORE, 2 * Math.max(this.#count, AT_FIRST));
  }

  /** Draw all points where a frame can hold them (twice as many, if the last one could not), else some on a picture. */
  #draw() {
    if (!this.#count || !this.width) return;
    const camera = this.#camera;
    this.#full = true;
    this.#patience = this.#moved ? 1 : PATIENCE;
    this.#moved = false;
    if (this.#budget >= (this.#front || this.#back ? 2 : 1) * this.#count) {
      this.renderer.drawPoints(camera, 0, this.#count);
      this.#forgetPictures();
      this.canvas.dataset.drawn = "all";
      return;
    }
    const unfinished = this.#back || this.#stale || !same(this.#front.camera, camera);
    if (unfinished) {
      this.#continue(camera);
      this.#ask();
    }
    this.renderer.drawPicture(this.#front ?? this.#back, camera);
    this.canvas.dataset.drawn = unfinished ? "some" : "all";
  }

  /** Draw some more points onto the picture that is being made; a complete one is shown from then on. */
  #continue(camera) {
    if (!this.#back || this.#stale) {
      const [width, height] = [this.canvas.width, this.canvas.height].map((side) => Math.round(side * MARGIN));
      this.#back ??= this.#spare ?? this.renderer.picture(width, height);
      Object.assign(this.#back, { camera, done: 0 });
      this.#spare = null;
      this.#stale = false;
    }
    const { done } = this.#back;
    const most = Math.round(this.#budget * this.#patience);
    const count = Math.min(most, this.#count - done);
    this.#full = count === most;
    this.renderer.drawPoints(this.#back.camera, done, count, this.#back);
    this.#back.done += count;
    if (this.#back.done === this.#count) [this.#front, this.#back, this.#spare] = [this.#back, null, this.#front];
  }
}

const same = (one, other) => one.scale === other.scale && one.centre.x === other.centre.x && one.centre.y === other.centre.y;
