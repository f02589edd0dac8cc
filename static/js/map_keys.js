/**
 * Which key does what on the map.
 * @module map_keys
 */

const TEXT_INPUT = "input, textarea, select, [contenteditable]";
const WITH_SHIFT = {
  G: "grid",
  L: "lasso",
  M: "around",
  O: "unlabelled",
  S: "similar",
  T: "color",
  W: "window",
};
const PLAIN = { Enter: "open", Escape: "escape", "?": "help", "+": "closer", "=": "closer", "-": "farther", 0: "whole" };
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/**
 * Listen to the whole page, except where something is typed.
 * @param {Record<string, (x?: number, y?: number) => boolean|void>} commands `pan` and `step` get a direction on the map;
 *   those that return false leave the key to the browser
 */
export function listen(commands) {
  document.addEventListener("keydown", (event) => {
    const { key, shiftKey, target } = event;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || target.closest?.(TEXT_INPUT)) return;
    if (key === "Enter" && target.closest?.("button, a, summary")) return;
    const direction = DIRECTIONS[key];
    const command = direction ? (shiftKey ? "step" : "pan") : (PLAIN[key] ?? (shiftKey && WITH_SHIFT[key]));
    if (command && commands[command](...(direction ?? [])) !== false) event.preventDefault();
  });
}
