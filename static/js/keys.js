/**
 * Which key does what on the labelling page.
 * @module keys
 */

const TEXT_INPUT = "input:not([type='checkbox'], [type='radio']), textarea, select, [contenteditable]";

const WITH_CONTROL = { a: "selectAll", z: "undo", y: "redo" };
const WITH_SHIFT = {
  A: "acceptPage",
  B: "second",
  C: "conflicts",
  E: "selectUntil",
  F: "pageWrong",
  H: "recent",
  J: "pageRight",
  K: "keep",
  N: "nextBatch",
  Q: "audit",
  R: "review",
  S: "similar",
  U: "acceptUntil",
  V: "adjudicate",
};
const PLAIN = {
  Enter: "accept",
  " ": "zoom",
  Backspace: "remove",
  Delete: "remove",
  Escape: "escape",
  PageUp: "previousPage",
  PageDown: "nextPage",
  "?": "help",
  "[": "smaller",
  "]": "larger",
};
const MOVES = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);
/** Keys that buttons and links need for themselves while they have focus. */
const OF_CONTROLS = new Set(["Enter", " "]);

/**
 * The command a key press means.
 * @param {KeyboardEvent} event
 * @returns {[name: string, argument?: any]|null}
 */
export function commandOf(event) {
  const { key, shiftKey } = event;
  if (event.altKey && !event.getModifierState("AltGraph")) return null;
  if ((event.ctrlKey || event.metaKey) && !event.getModifierState("AltGraph")) {
    const name = WITH_CONTROL[key.toLowerCase()];
    if (!name) return null;
    return [name === "undo" && shiftKey ? "redo" : name];
  }
  if (MOVES.has(key)) return ["move", { key, extend: shiftKey }];
  if (PLAIN[key]) return [PLAIN[key]];
  if (shiftKey && WITH_SHIFT[key]) return [WITH_SHIFT[key]];
  // Digits need Shift on some keyboards, letters with Shift are kept for commands.
  if (key.length === 1 && !(shiftKey && /\p{L}/u.test(key))) return ["classKey", key];
  return null;
}

/**
 * Listen to the whole page, except where something is typed.
 * @param {Record<string, (argument?: any) => boolean|void>} commands those that return false leave the key to the browser
 */
export function listen(commands) {
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.defaultPrevented || event.isComposing || target.closest?.(TEXT_INPUT)) return;
    if (OF_CONTROLS.has(event.key) && target.closest?.("button, a, summary, [role='button']")) return;
    const command = commandOf(event);
    if (!command) return;
    const [name, argument] = command;
    if (commands[name](argument) !== false) event.preventDefault();
  });
}
