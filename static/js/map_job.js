/**
 * How far the cells are laid out.
 * @module map_job
 */
import { _, number } from "./messages.js";

/** What the worker says, in the reader's language. */
const STEPS = {
  "Laying out cells": _("Laying out cells"),
  "Placing the other cells": _("Placing the other cells"),
};

/** Show an event of a job. @param {{kind: string, state: string, done: number, total: number, message: string}} job */
export function showJob({ kind, state, done, total, message }) {
  const bar = document.getElementById("map-job");
  if (kind !== "maps.lay_out" || !bar) return;
  if (state === "dead") return void location.reload();
  bar.hidden = state === "done";
  bar.querySelector(".progress-label").textContent = STEPS[message] ?? _("The cells are being laid out");
  bar.querySelector(".progress-count").textContent = total ? _("%(done)s of %(total)s", { done: number(done), total: number(total) }) : "";
  const progress = bar.querySelector("progress");
  if (total) Object.assign(progress, { max: total, value: done });
}
