/**
 * Short messages in the corner, announced to screen readers by the live region of base.html.
 * @module toast
 */

import { _ } from "./messages.js";

const MAX_SHOWN = 4;

/**
 * Show a message.
 * @param {string} text
 * @param {object} [options]
 * @param {"info"|"success"|"warning"|"error"} [options.kind]
 * @param {string} [options.action] text of a button
 * @param {() => void} [options.onAction] what the button does
 * @param {string} [options.href] the button is a link that opens a new tab
 * @param {number} [options.seconds] how long it stays; 0 keeps it until it is closed
 * @returns {() => void} closes the message
 */
export function toast(text, { kind = "info", action, onAction, href, seconds } = {}) {
  const region = document.getElementById("toasts");
  // The same words again replace the old ones instead of filling the corner.
  for (const shown of [...region.children]) if (shown.firstElementChild.textContent === text) shown.remove();
  const element = document.createElement("div");
  element.className = `toast toast-${kind}`;
  const message = document.createElement("span");
  message.textContent = text;
  element.append(message);
  const close = () => element.remove();
  if (action) {
    const control = document.createElement(href ? "a" : "button");
    control.textContent = action;
    if (href) Object.assign(control, { href, target: "_blank", rel: "noopener" });
    else Object.assign(control, { type: "button", className: "secondary" });
    control.addEventListener("click", () => { onAction?.(); close(); });
    element.append(control);
  }
  const dismiss = document.createElement("button");
  dismiss.type = "button";
  dismiss.className = "icon-button";
  dismiss.textContent = "×";
  dismiss.setAttribute("aria-label", _("Close message"));
  dismiss.addEventListener("click", close);
  element.append(dismiss);
  region.append(element);
  while (region.children.length > MAX_SHOWN) region.firstElementChild.remove();
  const stay = seconds ?? (kind === "error" ? 12 : 5);
  if (stay > 0) setTimeout(close, stay * 1000);
  return close;
}
