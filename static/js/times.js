/**
 * Times come from the server in UTC; people read the time of their own clock.
 * @module times
 */
import { language } from "./messages.js";

// English readers get the international form, which is the Swedish one: 2026-11-22 22:33.
const [FORM, DATE] = language === "en" ? ["sv-SE", "short"] : [language, "medium"];

/** Show the `<time>` elements below a node in local time; the title keeps UTC, as exports and logs have it. */
export function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]:not([title])")) {
    element.title = element.textContent;
    element.textContent = new Date(element.dateTime).toLocaleString(FORM, { dateStyle: DATE, timeStyle: "short" });
  }
}
