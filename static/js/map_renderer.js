/**
 * Points and pictures of points with WebGL 2, in as few calls as there can be.
 * @module map_renderer
 *
 * @typedef {object} Camera what is seen
 * @property {{x: number, y: number}} centre on the map
 * @property {number} scale pixels of the canvas in one unit of the map
 * @property {number} size of a point, in pixels of the canvas
 * @property {number} emphasis how much larger points with a colour are
 *
 * @typedef {object} Picture
 * @property {number} width
 * @property {number} height
 * @property {Camera|null} camera what it shows
 * @property {number} done how many points are on it
 */
import { DIM, HIDDEN } from "./map_data.js";

const ROUND_FROM = 4; // pixels; smaller points are squares, which nobody can tell
const POINTS = [`#version 300 es
in vec2 place;
in float shade;
uniform vec2 centre, scale;
uniform float size, emphasis;
uniform sampler2D palette;
out vec4 color;
void main() {
  bool known = shade > 0.5 && shade < ${DIM}.0;
  float depth = known ? 0.0 : shade < 0.5 ? 0.5 : 0.9;
  gl_Position = shade >= ${HIDDEN}.0 ? vec4(2.0, 2.0, 2.0, 1.0) : vec4((place - centre) * scale, depth, 1.0);
  gl_PointSize = known ? size * emphasis : size;
  color = texelFetch(palette, ivec2(int(shade), 0), 0);
}`, `#version 300 es
precision mediump float;
in vec4 color;
uniform bool rounded;
out vec4 painted;
void main() {
  float off = rounded ? length(gl_PointCoord - 0.5) : 0.0;
  if (off > 0.5) discard;
  painted = vec4(off > 0.36 ? color.rgb * 0.7 : color.rgb, 1.0);
}`];
const PICTURE = [`#version 300 es
in vec2 corner;
uniform vec2 centre, scale, middle, extent;
out vec2 at;
void main() {
  at = corner * 0.5 + 0.5;
  gl_Position = vec4((middle + corner * extent - centre) * scale, 0.0, 1.0);
}`, `#version 300 es
precision mediump float;
in vec2 at;
uniform sampler2D picture;
out vec4 painted;
void main() { painted = texture(picture, at); }`];

function program(gl, sources) {
  const made = gl.createProgram();
  for (const [at, type] of [gl.VERTEX_SHADER, gl.FRAGMENT_SHADER].entries()) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, sources[at]);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(made));
  return made;
}

/** A buffer that feeds one attribute of a program. */
function feed(gl, made, name, size, type) {
  const buffer = gl.createBuffer();
  const at = gl.getAttribLocation(made, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.enableVertexAttribArray(at);
  gl.vertexAttribPointer(at, size, type, false, 0, 0);
  return buffer;
}

/** What can be drawn on a canvas. */
export class Renderer {
  /** @param {HTMLCanvasElement} canvas @throws {Error} where there is no WebGL 2 */
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { antialias: false, powerPreference: "high-performance" });
    if (!this.gl) throw new Error("There is no WebGL 2.");
    this.prepare();
  }

  /** Make what lives on the graphics card, at first and after it was lost. */
  prepare() {
    const { gl } = this;
    gl.disable(gl.DITHER);
    gl.depthFunc(gl.LEQUAL);
    this.points = program(gl, POINTS);
    this.pointArray = gl.createVertexArray();
    gl.bindVertexArray(this.pointArray);
    this.placeBuffer = feed(gl, this.points, "place", 2, gl.FLOAT);
    this.shadeBuffer = feed(gl, this.points, "shade", 1, gl.UNSIGNED_BYTE);
    this.mover = program(gl, PICTURE);
    this.cornerArray = gl.createVertexArray();
    gl.bindVertexArray(this.cornerArray);
    feed(gl, this.mover, "corner", 2, gl.FLOAT);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    this.palette = this.#texture(gl.NEAREST);
  }

  /** @param {Float32Array} places x, y of each point */
  setPlaces(places) {
    this.#fill(this.placeBuffer, places);
  }

  /** @param {Uint8Array} shades of each point */
  setShades(shades) {
    this.#fill(this.shadeBuffer, shades);
  }

  /** @param {Uint8Array} colors red, green, blue and alpha of 256 shades */
  setPalette(colors) {
    const { gl } = this;
    gl.bindTexture(gl.TEXTURE_2D, this.palette);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, colors);
  }

  /** @returns {Picture} an empty one */
  picture(width, height) {
    const { gl } = this;
    const made = { width, height, camera: null, done: 0, framebuffer: gl.createFramebuffer(), texture: this.#texture(gl.LINEAR) };
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
    made.depth = gl.createRenderbuffer();
    gl.bindRenderbuffer(gl.RENDERBUFFER, made.depth);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_COMPONENT16, width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, made.framebuffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, made.texture, 0);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, made.depth);
    return made;
  }

  /** @param {Picture|null} picture */
  forget(picture) {
    if (!picture) return;
    this.gl.deleteFramebuffer(picture.framebuffer);
    this.gl.deleteTexture(picture.texture);
    this.gl.deleteRenderbuffer(picture.depth);
  }

  /**
   * Draw points, onto the canvas if there is no picture; the first ones clear it.
   * @param {Camera} camera
   * @param {number} first
   * @param {number} count
   * @param {Picture|null} [picture]
   */
  drawPoints(camera, first, count, picture = null) {
    const { gl } = this;
    this.#aim(this.points, camera, picture, first === 0);
    gl.enable(gl.DEPTH_TEST);
    gl.bindTexture(gl.TEXTURE_2D, this.palette);
    gl.uniform1f(gl.getUniformLocation(this.points, "size"), camera.size);
    gl.uniform1f(gl.getUniformLocation(this.points, "emphasis"), camera.emphasis);
    gl.uniform1i(gl.getUniformLocation(this.points, "rounded"), Number(camera.size >= ROUND_FROM));
    gl.bindVertexArray(this.pointArray);
    gl.drawArrays(gl.POINTS, first, count);
  }

  /** Show a picture on the canvas where it belongs, whatever is seen now. @param {Picture} picture @param {Camera} camera */
  drawPicture(picture, camera) {
    const { gl } = this;
    const { centre, scale } = picture.camera;
    this.#aim(this.mover, camera, null, true);
    gl.disable(gl.DEPTH_TEST);
    gl.bindTexture(gl.TEXTURE_2D, picture.texture);
    gl.uniform2f(gl.getUniformLocation(this.mover, "middle"), centre.x, centre.y);
    gl.uniform2f(gl.getUniformLocation(this.mover, "extent"), picture.width / 2 / scale, picture.height / 2 / scale);
    gl.bindVertexArray(this.cornerArray);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  #aim(made, { centre, scale }, picture, clear) {
    const { gl } = this;
    const { width, height } = picture ?? this.canvas;
    gl.bindFramebuffer(gl.FRAMEBUFFER, picture?.framebuffer ?? null);
    gl.viewport(0, 0, width, height);
    if (clear) gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(made);
    gl.uniform2f(gl.getUniformLocation(made, "centre"), centre.x, centre.y);
    gl.uniform2f(gl.getUniformLocation(made, "scale"), (2 * scale) / width, (2 * scale) / height);
  }

  #fill(buffer, data) {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  }

  #texture(filter) {
    const { gl } = this;
    const made = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, made);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, filter);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    return made;
  }
}
