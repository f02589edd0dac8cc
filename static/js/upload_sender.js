/**
 * Sends chosen files: a few requests at a time, each tried again until the server has it. Small ones are the files of one
 * upload, a large one goes in pieces and is an upload of its own.
 * @module upload_sender
 */
import { ApiError, csrfToken, postJson, renewToken } from "./api.js";
import { _ } from "./messages.js";
import { batches, isLarge } from "./upload_files.js";
import { LargeFile, passing } from "./upload_large.js";

const AT_ONCE = 2;
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30_000;
const ALIVE_EVERY = 20_000;
const PIECE = 8_000_000; // bytes of a large file in one request

/** Thrown when the person pressed stop. */
export class Stopped extends Error {}

/** One run of sending. */
export class Sender {
  #stop = new AbortController();
  #waiting;
  #large;
  #sentBytes = 0;
  #underway = new Map();

  /**
   * @param {{uploadId: number|null, slide: string, kind: string, continued: string|null}} where `uploadId` is of the small
   *   files, null without any; `continued` is an upload that was broken off
   * @param {import("./upload_files.js").Chosen[]} files
   * @param {object} callbacks
   * @param {(state: {files: number, bytes: number}) => void} callbacks.onProgress what the server has or is getting
   * @param {(problem: string) => void} callbacks.onTrouble why it does not go on at the moment; empty when it does again
   */
  constructor(where, files, { onProgress, onTrouble }) {
    Object.assign(this, { uploadId: where.uploadId, onProgress, onTrouble, sentFiles: 0, unreadable: [] });
    this.#waiting = batches(files.filter((chosen) => !isLarge(chosen)));
    this.#large = files.filter(isLarge).map((chosen) => new LargeFile(chosen, where));
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
      if (this.uploadId) await this.#insist(() => postJson(`/uploads/${this.uploadId}/complete`, {}));
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
    if (!this.uploadId) return;
    const headers = { "X-CSRF-Token": csrfToken() };
    await fetch(`/uploads/${this.uploadId}/${what}`, { method: "POST", headers, keepalive: true }).catch(() => {});
  }

  async #lane() {
    for (let batch = this.#waiting.shift(); batch; batch = this.#waiting.shift()) await this.#send(batch);
    for (let large = this.#large.shift(); large; large = this.#large.shift()) await this.#sendPieces(large);
  }

  /** Send what is missing of a large file; after any trouble the server is asked first how much it has. */
  async #sendPieces(large) {
    const { file } = large;
    let offset = null;
    while (offset === null || offset < file.size) {
      await this.#insist(async () => {
        try {
          if (offset === null) offset = await large.arrived();
          this.#underway.set(large, offset);
          this.#report();
          if (offset < file.size) offset = await this.#piece(large, offset);
        } catch (error) {
          offset = null;
          if (error.status === 0 && !(await readable(file))) {
            this.unreadable.push(large.path);
            offset = file.size;
          } else throw error;
        }
      });
    }
    large.forget();
    this.#underway.delete(large);
    this.sentFiles++;
    this.#sentBytes += file.size;
    this.#report();
  }

  /** @returns {Promise<number>} how much the server has now */
  async #piece(large, offset) {
    const piece = large.file.slice(offset, offset + PIECE);
    try {
      const request = await this.#transfer("PATCH", large.address, large.headers(offset), piece);
      return Number(request.getResponseHeader("upload-offset"));
    } catch (error) {
      const there = error.status === 409 ? await large.arrived() : offset;
      return there === offset ? passing(error) : there; // it has more of the file than we knew
    }
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
      if (await readable(chosen.file)) continue;
      batch.splice(batch.indexOf(chosen), 1);
      this.unreadable.push(chosen.path);
    }
  }

  #post(batch) {
    const form = new FormData();
    for (const { file, path } of batch) form.append("files", file, path);
    return this.#transfer("POST", `/uploads/${this.uploadId}/files`, {}, form);
  }

  /** @returns {Promise<XMLHttpRequest>} once it is answered @throws {ApiError|Stopped} */
  #transfer(method, url, headers, body) {
    // fetch cannot tell how much of a body was sent.
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    return new Promise((resolve, reject) => {
      request.open(method, url);
      const all = { Accept: "application/json", "X-CSRF-Token": csrfToken(), ...headers };
      for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value);
      request.upload.addEventListener("progress", (event) => {
        if (event.loaded > (this.#underway.get(request) ?? 0)) this.onTrouble("");
        this.#underway.set(request, event.loaded);
        this.#report();
      });
      request.addEventListener("load", () => (request.status < 400 ? resolve(request) : reject(refusal(request))));
      request.addEventListener("error", () => reject(new ApiError(0, _("No connection to the server."))));
      request.addEventListener("abort", () => reject(new Stopped()));
      this.#stop.signal.addEventListener("abort", abort);
      request.send(body);
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

/** @returns {Promise<boolean>} whether a file is still what was chosen: one that was moved or changed cannot be read */
const readable = (file) => file.slice(0, 1).arrayBuffer().then(() => true, () => false);

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
