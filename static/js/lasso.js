/**
 * Select cells by dragging a rectangle with the mouse.
 * @module lasso
 */

const THRESHOLD = 6; // pixels before a press becomes a drag

/**
 * @param {HTMLElement} scroller scrolling ancestor of the grid, positioned
 * @param {import("./tiles.js").Tiles} tiles
 * @param {import("./selection.js").Selection} selection
 */
export function enableLasso(scroller, tiles, selection) {
  let drag = null;

  /** Pointer position in the coordinates of the scrolled content. */
  const place = (event) => {
    const frame = scroller.getBoundingClientRect();
    return { x: event.clientX - frame.left + scroller.scrollLeft, y: event.clientY - frame.top + scroller.scrollTop };
  };

  const begin = () => {
    const frame = scroller.getBoundingClientRect();
    const [dx, dy] = [scroller.scrollLeft - frame.left, scroller.scrollTop - frame.top];
    // Measured once for the whole drag: tiles keep their places while a button is held.
    drag.boxes = tiles.all().map((tile) => {
      const box = tile.getBoundingClientRect();
      return { tile, left: box.left + dx, right: box.right + dx, top: box.top + dy, bottom: box.bottom + dy };
    });
    drag.element = document.createElement("div");
    drag.element.className = "lasso";
    scroller.append(drag.element);
    scroller.setPointerCapture(drag.pointerId);
  };

  const update = (event) => {
    const at = place(event);
    const [left, right] = [Math.min(at.x, drag.start.x), Math.max(at.x, drag.start.x)];
    const [top, bottom] = [Math.min(at.y, drag.start.y), Math.max(at.y, drag.start.y)];
    const { style } = drag.element;
    style.left = `${left}px`;
    style.top = `${top}px`;
    style.width = `${right - left}px`;
    style.height = `${bottom - top}px`;
    const inside = drag.boxes.filter((box) => box.left < right && box.right > left && box.top < bottom && box.bottom > top);
    selection.set([...drag.before, ...inside.map((box) => box.tile)]);
  };

  scroller.addEventListener("pointerdown", (event) => {
    // A press on the scrollbar (outside the client area) must keep scrolling.
    if (event.button !== 0 || event.pointerType === "touch" || event.offsetX > scroller.clientWidth) return;
    const before = event.ctrlKey || event.metaKey || event.shiftKey ? selection.selected : [];
    drag = { start: place(event), before, pointerId: event.pointerId, element: null };
  });

  scroller.addEventListener("pointermove", (event) => {
    if (!drag) return;
    if (!drag.element) {
      const at = place(event);
      if (Math.hypot(at.x - drag.start.x, at.y - drag.start.y) < THRESHOLD) return;
      begin();
    }
    update(event);
  });

  const end = () => {
    drag?.element?.remove();
    // The click that ends a drag must not select the one tile below the pointer.
    if (drag?.element) {
      const swallow = (event) => event.stopPropagation();
      scroller.addEventListener("click", swallow, { capture: true, once: true });
      setTimeout(() => scroller.removeEventListener("click", swallow, { capture: true }));
    }
    drag = null;
  };
  scroller.addEventListener("pointerup", end);
  scroller.addEventListener("pointercancel", end);
}
