/**
 * Which key does what. For the labelling page and the map the server says it (app/predictions/keys.py), with the texts to print.
 * @module keys
 */

const TEXT_INPUT = "input:not([type='checkbox'], [type='radio'], [type='range']), textarea, select, [contenteditable]";
const MOVES = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);
/** Keys that have their meaning everywhere and cannot be given to another command. */
const FIXED = { Escape: "escape", "?": "help" };
/** Keys that buttons and links need for themselves while they have focus. */
const OF_CONTROLS = new Set(["Enter", " "]);
const MODIFIERS = new Set(["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "Dead", "Process"]);

let sheet = {}; // command -> {keys, texts, default, words, own}
let commands = new Map(); // key -> command

/**
 * Take over what the server says, and print it wherever a key stands.
 * @param {Record<string, {keys: string[], texts: string[], default: string, own: boolean}>} told
 */
export function useKeys(told) {
  sheet = told;
  commands = new Map(Object.entries(sheet).flatMap(([name, { keys }]) => keys.map((key) => [key, name])));
  for (const place of document.querySelectorAll("[data-key-of]")) place.textContent = sheet[place.dataset.keyOf].texts[0] ?? "";
  for (const link of document.querySelectorAll("[data-titled]")) {
    link.title = `${link.getAttribute("aria-label")} (${sheet[link.dataset.titled].texts[0] ?? "–"})`;
  }
}

/** @returns {string} a sentence that names keys as they are by default, with the keys in force @param {string} sentence */
export function withKeys(sentence) {
  // Sentences name keys like ⇧ N; a changed "." is no reason to touch their full stops.
  const changed = Object.values(sheet).filter(({ own, default: text }) => own && text.includes(" "));
  const texts = new Map(changed.map(({ default: text, texts: [now] }) => [text, now ?? "–"]));
  return texts.size ? sentence.replace(new RegExp([...texts.keys()].join("|"), "g"), (text) => texts.get(text)) : sentence;
}

/**
 * @param {KeyboardEvent} event
 * @returns {string} the name of a press: "n", "Shift+N", "Ctrl+Z", "Space"; empty where it is none of ours
 */
export function keyOf(event) {
  const { key, shiftKey } = event;
  const alternate = event.getModifierState("AltGraph");
  if (MODIFIERS.has(key) || (event.altKey && !alternate)) return "";
  const control = (event.ctrlKey || event.metaKey) && !alternate;
  const letter = /^\p{L}$/u.test(key);
  const name = key === " " ? "Space" : letter && (shiftKey || control) ? key.toUpperCase() : letter ? key.toLowerCase() : key;
  // Which signs need Shift differs from keyboard to keyboard.
  const shift = shiftKey && (letter || name.length > 1);
  return `${control ? "Ctrl+" : ""}${shift ? "Shift+" : ""}${name}`;
}

/**
 * The command a key press means.
 * @param {KeyboardEvent} event
 * @returns {[name: string, argument?: any]|null}
 */
export function commandOf(event) {
  const key = keyOf(event);
  if (!event.ctrlKey && !event.metaKey && !event.altKey && MOVES.has(event.key)) return ["move", { key: event.key, extend: event.shiftKey }];
  const name = FIXED[key] ?? commands.get(key);
  if (name) return [name];
  return key.length === 1 ? ["classKey", key] : null;
}

/**
 * Listen to the whole page, except where something is typed.
 * @param {Record<string, (argument?: any, event?: KeyboardEvent) => boolean|void>} acts those that return false leave the key to the browser
 */
export function listen(acts) {
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.defaultPrevented || event.isComposing || target.closest?.(TEXT_INPUT)) return;
    if (MOVES.has(event.key) && target.type === "range") return;
    if (OF_CONTROLS.has(event.key) && target.closest?.("button, a, summary, [role='button']")) return;
    const command = commandOf(event);
    if (!command) return;
    const [name, argument] = command;
    if (acts[name](argument, event) !== false) event.preventDefault();
  });
}
