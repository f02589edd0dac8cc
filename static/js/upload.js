/**
 * Page of a slide: choose or drop images, watch them being sent, unpacked and embedded.
 * @module upload
 */
import { getFragment, postJson } from "./api.js";
import { Live } from "./live.js";
import { _, ngettext, number } from "./messages.js";
import { localTimes } from "./times.js";
import { toast } from "./toast.js";
import { fromDrop, fromInput, isLarge } from "./upload_files.js";
import { Sender, Stopped } from "./upload_sender.js";

const REFRESH_MS = 1000; // at most one look per second, however many events come
const LOOK_AGAIN_MS = 15_000; // a sender that has fallen silent sends no event

const zone = document.getElementById("upload");
const element = (id) => document.getElementById(id);
const amount = (bytes) =>
  bytes < 1e6
    ? `${Math.ceil(bytes / 1e3)} kB`
    : `${number(bytes / 1e6, bytes < 1e7 ? 1 : 0)} MB`;
const fileCount = (count) => ngettext("%(num)s file", "%(num)s files", count);
let sender = null;
let queue = Promise.resolve();
let continued = null; // id of the upload the next chosen files belong to

document.documentElement.classList.add("has-script");
element("choosers").hidden = false;

// Choosing and dropping

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-choose]");
  if (!button) return;
  continued = button.dataset.continue ?? null;
  element(button.dataset.choose).click();
});
for (const id of ["choose-files", "choose-folder"]) {
  element(id).addEventListener("change", ({ target }) => {
    enqueue(fromInput(target.files), continued);
    continued = null;
    target.value = ""; // so that choosing the same files again is a change
  });
}
zone.addEventListener("dragover", (event) => {
  event.preventDefault();
  zone.classList.add("is-over");
});
for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("is-over"));
zone.addEventListener("drop", async (event) => {
  event.preventDefault();
  try {
    enqueue(await fromDrop(event.dataTransfer), null);
  } catch (error) {
    toast(_("The dropped folder could not be read: %(reason)s", { reason: error.message }), { kind: "error" });
  }
});
// A file dropped beside the zone would replace the page.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());

// Sending

function enqueue(files, uploadId) {
  if (!files.length) return;
  queue = queue.then(() => send(files, uploadId));
}

async function send(files, continued) {
  const bytes = sizeOf(files);
  element("sending").hidden = false;
  element("sending-label").textContent = _("Sending");
  element("sending-stop").hidden = false;
  say(_("You may close this page once everything is sent."));
  try {
    const kind = zone.querySelector("[name=kind]:checked").value;
    const small = files.filter((chosen) => !isLarge(chosen));
    const uploadId = small.length ? continued ?? (await begin(kind, small)).id : null;
    sender = new Sender({ uploadId, slide: zone.dataset.slide, kind, continued }, files, {
      onProgress: (state) => show(state, files.length, bytes),
      onTrouble: (problem) => say(problem || _("You may close this page once everything is sent.")),
    });
    show({ files: 0, bytes: 0 }, files.length, bytes);
    await sender.run();
    element("sending-label").textContent = _("Sent");
    say(summary(files.length, sender.unreadable));
  } catch (error) {
    if (!(error instanceof Stopped)) toast(error.message, { kind: "error", seconds: 0 });
    say(error instanceof Stopped ? _("Stopped. What arrived is kept.") : error.message);
  } finally {
    sender = null;
    element("sending-stop").hidden = true;
    refresh();
  }
}

const sizeOf = (files) => files.reduce((sum, { file }) => sum + file.size, 0);

function begin(kind, files) {
  const announced = { kind, expected_files: files.length, expected_bytes: sizeOf(files) };
  return postJson(`/slides/${zone.dataset.slide}/uploads`, announced);
}

function summary(count, unreadable) {
  const sent = _("%(files)s sent; the server goes on by itself, you may leave.", { files: fileCount(count - unreadable.length) });
  if (!unreadable.length) return sent;
  const names = unreadable.slice(0, 5).join(", ") + (unreadable.length > 5 ? ", …" : "");
  return [sent, _("Not readable any more on this computer: %(names)s", { names })].join(" ");
}

function show({ files, bytes }, allFiles, allBytes) {
  const bar = element("sending-bar");
  bar.max = Math.max(1, allBytes);
  bar.value = Math.min(bytes, bar.max);
  element("sending-count").textContent = _("%(files)s of %(allFiles)s, %(size)s of %(allSize)s", {
    files: number(files),
    allFiles: fileCount(allFiles),
    size: amount(Math.min(bytes, allBytes)),
    allSize: amount(allBytes),
  });
}

function say(text) {
  if (element("sending-note").textContent !== text) element("sending-note").textContent = text;
}

element("sending-stop").addEventListener("click", () => sender?.stop());
addEventListener("beforeunload", (event) => sender && event.preventDefault());
addEventListener("pagehide", () => sender?.leave());

// What the server is doing

let timer = 0;

function refresh() {
  timer ||= setTimeout(async () => {
    try {
      const page = await getFragment(location.pathname);
      replaceProgress(page.getElementById("progress"));
    } catch (error) {
      if (error.status === 401) location.reload();
    } finally {
      timer = 0;
    }
  }, REFRESH_MS);
}

/** Put the new state in place; opened lists stay open and the keyboard stays where it is. */
function replaceProgress(fresh) {
  const old = element("progress");
  if (fresh) localTimes(fresh);
  if (!fresh || fresh.outerHTML === old.outerHTML) return;
  for (const { id } of old.querySelectorAll("details[open]")) fresh.querySelector(`#${id}`)?.setAttribute("open", "");
  const focusable = (root) => [...root.querySelectorAll("a, button, summary")];
  const label = (node) => `${node.closest("[id]").id} ${node.textContent}`;
  const focused = old.contains(document.activeElement) ? label(document.activeElement) : null;
  old.replaceWith(fresh);
  if (focused) focusable(fresh).find((node) => label(node) === focused)?.focus();
}

new Live(zone.dataset, { upload: refresh, embedding: refresh, job: refresh, slide: refresh }, {
  onGap: refresh,
  onState: (online) => { element("live-state").hidden = online; },
});
setInterval(() => element("progress").dataset.busy === "1" && refresh(), LOOK_AGAIN_MS);
