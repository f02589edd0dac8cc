/**
 * Sends the files of one upload: a few requests at a time, each tried again until the server has it.
 * @module upload_sender
 */
import { ApiError, csrfToken, postJson, renewToken } from "./api.js";
import { _ } from "./messages.js";
import { batches } from "./upload_files.js";

const AT_ONCE = 2;
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30_000;
const ALIVE_EVERY = 20_000;

/** Thrown when the person pressed stop. */
export class Stopped extends Error {}

/** One run of sending. */
export class Sender {
  #stop = new AbortController();
  #waiting;
  #sentBytes = 0;
  #underway = new Map();

  /**
   * @param {number} uploadId
   * @param {import("./upload_files.js").Chosen[]} files
   * @param {object} callbacks
   * @param {(state: {files: number, bytes: number}) => void} callbacks.onProgress what the server has or is getting
   * @param {(problem: string) => void} callbacks.onTrouble why it does not go on at the moment; empty when it does again
   */
  constructor(uploadId, files, { onProgress, onTrouble }) {
    Object.assign(this, { uploadId, onProgress, onTrouble, sentFiles: 0, unreadable: [] });
    this.#waiting = batches(files);
  }

  /**
   * Send everything and close the upload.
   * @throws {Stopped} after `stop`
   * @throws {ApiError} when the server refuses for good
   */
  async run() {
    const alive = setInterval(() => this.#tell("sending"), ALIVE_EVERY);
    try {
      await this.#tell("sending");
      const lanes = Array.from({ length: AT_ONCE }, () => this.#lane());
      await Promise.all(lanes).catch((error) => {
        this.#stop.abort();
        throw error;
      });
      await this.#insist(() => postJson(`/uploads/${this.uploadId}/complete`, {}));
    } catch (error) {
      await this.#tell("stopped");
      throw error;
    } finally {
      clearInterval(alive);
    }
  }

  /** Give up; what the server has stays there. */
  stop() {
    this.#stop.abort();
  }

  /** The page is going away: say so, in a request that outlives it. */
  leave() {
    this.#tell("stopped");
  }

  /** Signs of life need no answer: the server notices silence by itself. */
  async #tell(what) {
    const headers = { "X-CSRF-Token": csrfToken() };
    await fetch(`/uploads/${this.uploadId}/${what}`, { method: "POST", headers, keepalive: true }).catch(() => {});
  }

  async #lane() {
    for (let batch = this.#waiting.shift(); batch; batch = this.#waiting.shift()) await this.#send(batch);
  }

  async #send(batch) {
    const readable = [...batch];
    await this.#insist(async () => {
      if (!readable.length) return;
      try {
        await this.#post(readable);
      } catch (error) {
        if (error.status === 0) await this.#dropUnreadable(readable);
        throw error;
      }
    });
    this.sentFiles += batch.length;
    this.#sentBytes += batch.reduce((sum, { file }) => sum + file.size, 0);
    this.#report();
  }

  /** A file that was moved or changed since it was chosen fails like a lost connection; it is left out and named. */
  async #dropUnreadable(batch) {
    for (const chosen of [...batch]) {
      await chosen.file.slice(0, 1).arrayBuffer().catch(() => {
        batch.splice(batch.indexOf(chosen), 1);
        this.unreadable.push(chosen.path);
      });
    }
  }

  #post(batch) {
    const form = new FormData();
    for (const { file, path } of batch) form.append("files", file, path);
    // fetch cannot tell how much of a body was sent.
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    return new Promise((resolve, reject) => {
      request.open("POST", `/uploads/${this.uploadId}/files`);
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("X-CSRF-Token", csrfToken());
      request.upload.addEventListener("progress", (event) => {
        if (event.loaded > (this.#underway.get(request) ?? 0)) this.onTrouble("");
        this.#underway.set(request, event.loaded);
        this.#report();
      });
      request.addEventListener("load", () => (request.status < 400 ? resolve() : reject(refusal(request))));
      request.addEventListener("error", () => reject(new ApiError(0, _("No connection to the server."))));
      request.addEventListener("abort", () => reject(new Stopped()));
      this.#stop.signal.addEventListener("abort", abort);
      request.send(form);
    }).finally(() => {
      this.#stop.signal.removeEventListener("abort", abort);
      this.#underway.delete(request);
    });
  }

  /** Try again, ever more slowly, while the reason may pass; after a new sign-in in another tab with its token. */
  async #insist(attempt) {
    for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      if (this.#stop.signal.aborted) throw new Stopped();
      try {
        const answer = await attempt();
        this.onTrouble("");
        return answer;
      } catch (error) {
        if (!(error instanceof ApiError) || !(await this.#mayPass(error))) throw error;
        this.onTrouble(`${error.message} ${_("Trying again…")}`);
        await this.#pause(Math.max(wait, error.retryAfter * 1000));
      }
    }
  }

  async #mayPass(error) {
    if (error.temporary) return true;
    if (error.status !== 401 && error.status !== 403) return false;
    try {
      return (await renewToken()) === "renewed";
    } catch (signedOut) {
      error.message = _("You are signed out. Sign in again in another tab, and sending goes on.");
      return signedOut instanceof ApiError;
    }
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#stop.signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }

  #report() {
    const underway = [...this.#underway.values()].reduce((sum, bytes) => sum + bytes, 0);
    this.onProgress({ files: this.sentFiles, bytes: this.#sentBytes + underway });
  }
}

function refusal(request) {
  let problem = {};
  try {
    problem = JSON.parse(request.responseText);
  } catch {
    // A proxy in between answers in HTML; its status says enough.
  }
  const detail = problem.detail ?? _("The server answered %(status)s.", { status: request.status });
  return new ApiError(request.status, detail, Number(request.getResponseHeader("retry-after")) || 0);
}
