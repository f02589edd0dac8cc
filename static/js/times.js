/**
 * Times come from the server in UTC; people read the time of their own clock.
 * @module times
 */
import { language } from "./messages.js";

// English readers get the international form, which is the Swedish one: 2026-11-22 22:33.
const [FORM, DATE] = language === "en" ? ["sv-SE", "short"] : [language, "medium"];


const UNITS = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** Show the `<time>` elements below a node as time that has passed, "2 minutes ago". */
export function relativeTimes(root) {
  const words = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  for (const element of root.querySelectorAll("time[datetime]")) {
    const seconds = Math.max(0, (Date.now() - new Date(element.dateTime)) / 1000);
    const [unit, size] = UNITS.find(([, length]) => seconds >= length) ?? UNITS.at(-1);
    element.title = element.textContent;
    element.textContent = words.format(-Math.floor(seconds / size), unit);
  }
}

/** Show the `<time>` elements below a node in local time; the title keeps UTC, as exports and logs have it. */
export function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]:not([title])")) {
    element.title = element.textContent;
    element.textContent = new Date(element.dateTime).toLocaleString(FORM, { dateStyle: DATE, timeStyle: "short" });
  }
}
