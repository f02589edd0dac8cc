/**
 * Times come from the server in UTC; people read the time of their own clock.
 * @module times
 */

/** Show the `<time>` elements below a node in local time; the title keeps UTC, as exports and logs have it. */
export function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]:not([title])")) {
    element.title = element.textContent;
    // The Swedish form is the international one: 2026-11-22 22:33.
    element.textContent = new Date(element.dateTime).toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" });
  }
}
