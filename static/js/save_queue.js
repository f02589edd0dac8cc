/**
 * Labels on their way to the server: sent in order, kept in localStorage until acknowledged, retried without end.
 * @module save_queue
 *
 * @typedef {object} Entry one action
 * @property {string} action id; the server ignores a second arrival of the same one
 * @property {string} source "label", "accepted" or "kept"; "undo" or "redo" of the action `step`
 * @property {string} step id of the step in the history
 * @property {number} [reading] the batch for second reading it was done in
 * @property {import("./history.js").Change[]} changes what is shown at once; for undo and redo the server knows better
 * @property {number} cells how many are meant
 * @property {number} [seconds] what the decision took; missing where decisions are not timed
 *
 * @typedef {{kind: "idle"|"saving"|"failing"|"stopped", size: number, text: string, href?: string}} QueueState
 */
import { ApiError, postJson, renewToken } from "./api.js";
import { _, number } from "./messages.js";

const FIRST_WAIT = 1;
const LONGEST_WAIT = 30;
const REMEMBER_MS = 60_000;

const isReplay = ({ source }) => source === "undo" || source === "redo";

const toPath = (entry) => (isReplay(entry) ? `actions/${entry.step}/${entry.source}` : "annotations");

const toItem = ({ cell_id, after }, seconds) => ({ cell_id, class: after.class || null, ...(seconds === undefined ? {} : { seconds }) });

function toBody({ action, source, reading, changes, seconds }) {
  if (isReplay({ source })) return { action };
  const share = seconds === undefined ? undefined : seconds / changes.length;
  return { action, source, ...(reading ? { batch: reading } : {}), items: changes.map((change) => toItem(change, share)) };
}

/** The queue of one person and project. */
export class SaveQueue {
  #entries = [];
  #overlay = new Map(); // cell id -> {entry, state, savedAt}: what this page knows better than the server's last answer
  #own = new Map(); // action id -> time, to recognise the echo of our own labels
  #running = false;
  #wait = FIRST_WAIT;
  #timer = 0;
  #serial = 0;

  /**
   * @param {object} options
   * @param {string} options.url of the project
   * @param {string} options.prefix of the keys in localStorage; names person and project
   * @param {(state: QueueState) => void} options.onState
   * @param {(entry: Entry, result: {saved: number, skipped: object[]}) => void} options.onSaved
   * @param {(entry: Entry, error: ApiError) => void} options.onRefused
   */
  constructor(options) {
    Object.assign(this, options);
    this.#adopt();
    addEventListener("online", () => this.retryNow());
    addEventListener("focus", () => this.retryNow());
    addEventListener("beforeunload", (event) => {
      if (this.#entries.length) event.preventDefault();
    });
  }

  /** @returns {number} actions not acknowledged yet */
  get size() {
    return this.#entries.length;
  }

  /** @returns {Promise<void>} settled once nothing is on its way, or nothing goes for now */
  async idle() {
    while (this.#running) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** @returns {Entry[]} oldest first */
  get entries() {
    return [...this.#entries];
  }

  /** @param {Entry} entry */
  push(entry) {
    this.#remember(entry);
    const key = `${this.prefix}${Date.now().toString(36).padStart(9, "0")}-${(this.#serial++).toString(36).padStart(6, "0")}`;
    this.#entries.push({ key, ...entry });
    try {
      localStorage.setItem(key, JSON.stringify(entry));
    } catch {
      // Storage is full: the queue still lives in this page, and leaving it warns.
    }
    this.#run();
  }

  /** Start sending what an earlier visit left behind. */
  start() {
    this.#run();
  }

  /** Try at once instead of waiting for the next attempt. */
  retryNow() {
    if (!this.#entries.length || this.#running) return;
    clearTimeout(this.#timer);
    this.#run();
  }

  /** @returns {boolean} whether an action was made on this page @param {string} action */
  isOwn(action) {
    return this.#own.has(action);
  }

  /** @returns {boolean} whether a label of this cell is still on its way @param {number} id */
  isPending(id) {
    return this.#overlay.get(id)?.savedAt === Infinity;
  }

  /**
   * What the page knows better than an answer asked for at `askedAt`: a label unsaved then.
   * @param {number} id cell
   * @param {number} askedAt `performance.now()` of the request
   * @returns {import("./tiles.js").CellState|undefined}
   */
  known(id, askedAt) {
    const known = this.#overlay.get(id);
    return known && known.savedAt >= askedAt ? known.state : undefined;
  }

  #adopt() {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(this.prefix)).sort();
    for (const key of keys) {
      try {
        const entry = JSON.parse(localStorage.getItem(key));
        this.#remember(entry);
        this.#entries.push({ key, ...entry });
      } catch {
        localStorage.removeItem(key); // Not written by us.
      }
    }
  }

  #remember(entry) {
    // Where the page does not know the cells, the echo tells it.
    if (entry.changes.length) this.#own.set(entry.action, performance.now());
    for (const { cell_id, after } of entry.changes) {
      this.#overlay.set(cell_id, { action: entry.action, state: after, savedAt: Infinity });
    }
  }

  #settle(entry, refused) {
    const now = performance.now();
    for (const { cell_id } of entry.changes) {
      const known = this.#overlay.get(cell_id);
      if (known?.action !== entry.action) continue;
      if (refused) this.#overlay.delete(cell_id);
      else known.savedAt = now;
    }
    for (const [id, known] of this.#overlay) if (known.savedAt < now - REMEMBER_MS) this.#overlay.delete(id);
    for (const [id, time] of this.#own) if (time < now - 10 * REMEMBER_MS) this.#own.delete(id);
    this.#entries.shift();
    localStorage.removeItem(entry.key);
  }

  #announce(kind, text, href) {
    this.onState({ kind, text, href, size: this.#entries.length });
  }

  async #run() {
    if (this.#running) return this.#announce("saving", _("Saving %(count)s…", { count: number(this.#entries.length) }));
    this.#running = true;
    while (this.#entries.length) {
      this.#announce("saving", _("Saving %(count)s…", { count: number(this.#entries.length) }));
      if (!(await this.#sendFirst())) break;
    }
    this.#running = false;
    if (!this.#entries.length) this.#announce("idle", _("Saved"));
    return undefined;
  }

  /** @returns {Promise<boolean>} whether the next entry may be sent now */
  async #sendFirst() {
    const [entry] = this.#entries;
    try {
      const result = await postJson(`${this.url}/${toPath(entry)}`, toBody(entry));
      this.#wait = FIRST_WAIT;
      this.#settle(entry, false);
      this.onSaved(entry, result);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return this.#handle(entry, error);
    }
  }

  async #handle(entry, error) {
    if (error.temporary) return this.#later(error.status === 0 ? _("no connection") : error.message, error.retryAfter);
    if (error.status === 401 || error.status === 403) {
      const found = await renewToken().catch((problem) => (problem.status === 401 ? "signed-out" : "unreachable"));
      if (found === "renewed") return true;
      if (found === "signed-out") return this.#stop(_("Signed out, your labels are kept."));
      if (found === "other-user") return this.#stop(_("Someone else signed in. Your labels wait for you."));
      if (found === "unreachable") return this.#later(_("no connection"));
      if (error.status === 401) return this.#later(error.message);
    }
    this.#settle(entry, true);
    this.onRefused(entry, error);
    return true;
  }

  #stop(text) {
    this.#announce("stopped", text, "/sign-in");
    this.#timer = setTimeout(() => this.retryNow(), LONGEST_WAIT * 1000);
    return false;
  }

  #later(reason, minimum = 0) {
    let left = Math.max(this.#wait, minimum);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    const tick = () => {
      if (left <= 0) return void this.retryNow();
      const text = _("Not saved, trying again in %(seconds)s s: %(reason)s", { seconds: left, reason: reason.replace(/\.$/, "") });
      this.#announce("failing", text);
      left -= 1;
      this.#timer = setTimeout(tick, 1000);
    };
    // After this turn of the loop has ended, so that the retry finds the queue idle.
    this.#timer = setTimeout(tick);
    return false;
  }
}
