/**
 * One large file that is sent in pieces by tus 1.0, so that it goes on where it was after a lost line or a closed page.
 * @module upload_large
 */
import { ApiError, csrfToken, send } from "./api.js";

const KEPT = "fiftycells.uploads"; // in the browser's storage: the address of each file that is on its way
const VERSION = { "Tus-Resumable": "1.0.0" };

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const kept = () => JSON.parse(localStorage.getItem(KEPT) ?? "{}");

/** The server still waits for the rest of a lost request (423): that passes. @throws {ApiError} */
export function passing(error) {
  throw error.status === 423 ? new ApiError(503, error.message) : error;
}

/** Where a file goes, and how much of it is there. */
export class LargeFile {
  /**
   * @param {import("./upload_files.js").Chosen} chosen
   * @param {{slide: string, kind: string, continued: string|null}} where `continued` is an upload it may belong to
   */
  constructor({ file, path }, { slide, kind, continued }) {
    Object.assign(this, { file, path, slide, kind, address: null });
    this.key = [slide, kind, path, file.size, file.lastModified].join("|");
    this.candidates = [kept()[this.key], continued && `/api/v1/uploads/${continued}`].filter(Boolean);
  }

  /** Ask how much has arrived; a file the server does not know is announced. @returns {Promise<number>} bytes @throws {ApiError} */
  async arrived() {
    while (!this.address && this.candidates.length) {
      const found = await this.#ask(this.candidates[0]);
      if (found !== null) this.address = this.candidates[0];
      else this.candidates.shift();
    }
    if (this.address) return (await this.#ask(this.address)) ?? this.#announce();
    return this.#announce();
  }

  /** Headers of a piece that begins at a byte. @param {number} offset */
  headers(offset) {
    return { ...VERSION, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
  }

  /** It is complete, or cannot be read any more: nothing is left to go on with. */
  forget() {
    this.#keep(undefined);
  }

  /** @returns {Promise<number|null>} bytes that are there; null where there is no such upload of a file as long as this */
  async #ask(address) {
    try {
      const { headers } = await send(address, { method: "HEAD", headers: VERSION });
      return Number(headers.get("upload-length")) === this.file.size ? Number(headers.get("upload-offset")) : null;
    } catch (error) {
      if (error.status === 404) return null;
      return passing(error);
    }
  }

  async #announce() {
    const metadata = { filename: this.path, kind: this.kind };
    const headers = {
      ...VERSION,
      "X-CSRF-Token": csrfToken(),
      "Upload-Length": String(this.file.size),
      "Upload-Metadata": Object.entries(metadata).map(([name, value]) => `${name} ${base64(value)}`).join(","),
    };
    const answer = await send(`/api/v1/slides/${this.slide}/uploads`, { method: "POST", headers });
    this.address = answer.headers.get("location");
    this.#keep(this.address);
    return 0;
  }

  #keep(address) {
    localStorage.setItem(KEPT, JSON.stringify({ ...kept(), [this.key]: address }));
  }
}
