/**
 * The stream of events of a project. Reconnects by itself; what came since the page was made is sent first;
 * asks for a refresh after every longer gap.
 * @module live
 */

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 15_000;
const HIDDEN_MS = 20_000; // a hidden tab gives its connection back: a browser has only six for one server

/** Connection to `/projects/{id}/events`. */
export class Live {
  #source = null;
  #wait = FIRST_WAIT;
  #timer = 0;
  #hiddenTimer = 0;
  #missed = false;
  #last = "0";

  /**
   * @param {DOMStringMap} page says `project` and `lastEvent`, the newest event when the page was made
   * @param {Record<string, (data: any, known: boolean) => void>} handlers by event name; `known` events came before
   *   the page was made or the connection was lost: the server sends the last ones again, for it cannot tell
   * @param {object} callbacks
   * @param {() => void} callbacks.onGap events may have been missed
   * @param {(online: boolean) => void} callbacks.onState
   */
  constructor({ project, lastEvent }, handlers, { onGap, onState }) {
    Object.assign(this, { project, handlers, onGap, onState });
    this.#last = lastEvent;
    document.addEventListener("visibilitychange", () => this.#visibility());
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", (event) => event.persisted && this.#open());
    this.#open();
  }

  #open() {
    this.#close();
    const begun = Number(this.#last);
    this.#source = new EventSource(`/projects/${this.project}/events?after=${this.#last}`);
    this.#source.addEventListener("open", () => {
      this.#wait = FIRST_WAIT;
      this.onState(true);
      if (this.#missed) this.onGap();
      this.#missed = false;
    });
    this.#source.addEventListener("error", () => this.#again());
    for (const [name, handle] of Object.entries(this.handlers)) {
      this.#source.addEventListener(name, (event) => {
        if (Number(event.lastEventId) > Number(this.#last)) this.#last = event.lastEventId;
        handle(JSON.parse(event.data), Number(event.lastEventId) <= begun);
      });
    }
  }

  /** Without a stream, look at the page again at every attempt: labelling goes on by polling. */
  #again() {
    this.#close();
    this.onState(false);
    this.#missed = true;
    this.#timer = setTimeout(() => {
      this.onGap();
      this.#open();
    }, this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #visibility() {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) {
      this.#hiddenTimer = setTimeout(() => {
        this.#missed = true;
        this.#close();
      }, HIDDEN_MS);
    } else if (!this.#source) {
      this.#open();
    }
  }
}
