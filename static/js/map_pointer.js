/**
 * The map under the pointer: drag moves, the wheel or two fingers zoom, Shift and drag (or the lasso) catches.
 * @module map_pointer
 */

const STILL = 4; // pixels; a shorter drag is a click
const WHEEL = 400; // pixels of wheel that double the zoom

/**
 * @param {HTMLElement} canvas
 * @param {import("./map_view.js").MapView} view
 * @param {object} calls
 * @param {() => boolean} calls.lassoing whether a drag catches without Shift
 * @param {(place: {x: number, y: number}|null) => void} calls.onHover where the pointer is, in pixels of the page
 * @param {(place: {x: number, y: number}) => void} calls.onClick
 * @param {(place: {x: number, y: number}) => void} calls.onOpen
 * @param {(corners: {x: number, y: number}[], done: boolean) => void} calls.onLasso as it is drawn, on the map
 */
export function followPointer(canvas, view, { lassoing, onHover, onClick, onOpen, onLasso }) {
  const down = new Map(); // pointers that touch the map, and where
  let drag = null;
  const place = (event) => ({ x: event.offsetX, y: event.offsetY });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, place(event));
    drag = { from: place(event), moved: down.size > 1, corners: event.shiftKey || lassoing() ? [] : null };
    if (down.size > 1) drag.corners = null;
  });

  canvas.addEventListener("pointermove", (event) => {
    const [now, before] = [place(event), down.get(event.pointerId)];
    if (!before) return void onHover(now);
    if (!drag.moved && Math.hypot(now.x - drag.from.x, now.y - drag.from.y) < STILL) return;
    drag.moved = true;
    onHover(null);
    if (drag.corners) {
      drag.corners.push(view.toMap(now.x, now.y));
      onLasso(drag.corners, false);
    } else if (down.size === 2) {
      const [other] = [...down].find(([id]) => id !== event.pointerId).slice(1);
      const apart = ({ x, y }) => Math.hypot(x - other.x, y - other.y);
      view.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
      view.zoomBy(apart(now) / Math.max(apart(before), 1), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else {
      view.pan(now.x - before.x, now.y - before.y);
    }
    down.set(event.pointerId, now);
  });

  const end = (event) => {
    if (!down.delete(event.pointerId)) return;
    if (drag.corners?.length) onLasso(drag.corners, event.type === "pointerup");
    else if (!drag.moved && event.type === "pointerup") onClick(place(event));
    if (!down.size) drag = null;
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => onHover(null));
  canvas.addEventListener("dblclick", (event) => onOpen(place(event)));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
    view.zoomBy(2 ** (-pixels / WHEEL), event.offsetX, event.offsetY);
  }, { passive: false });
}
