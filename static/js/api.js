/**
 * Requests to our own server: CSRF header, problem+json errors, HTML fragments.
 * @module api
 */
import { _ } from "./messages.js";

/** A request the server refused (`status` from 400) or that never reached it (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} detail the server's words (RFC 9457 `detail`), fit to be shown
   * @param {number} [retryAfter] seconds the server asked us to wait
   */
  constructor(status, detail, retryAfter = 0) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** True where the same request may succeed later. */
  get temporary() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

const meta = (name) => document.querySelector(`meta[name="${name}"]`);

/** @returns {string} the token of this session; empty when nobody is signed in */
export function csrfToken() {
  return meta("csrf-token")?.content ?? "";
}

/** @returns {string} name of the person this page was made for */
export function userName() {
  return meta("user")?.content ?? "";
}

/** A version-4 UUID. `crypto.randomUUID` is missing on plain http in a lab's network, so it is made from random bytes. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

async function toError(response) {
  const problem = (response.headers.get("content-type") ?? "").includes("json")
    ? await response.json().catch(() => ({}))
    : {};
  const detail = problem.detail ?? problem.title ?? _("The server answered %(status)s.", { status: response.status });
  return new ApiError(response.status, String(detail), Number(response.headers.get("retry-after")) || 0);
}

/**
 * @param {string} url
 * @param {object} options of `fetch`
 * @returns {Promise<Response>}
 * @throws {ApiError}
 */
export async function send(url, options) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, _("No connection to the server."));
  }
  if (response.redirected && new URL(response.url).pathname.startsWith("/sign-in")) {
    throw new ApiError(401, _("You are signed out."));
  }
  if (!response.ok) throw await toError(response);
  return response;
}

/**
 * @param {string} url
 * @param {object} [options] of `fetch`
 * @returns {Promise<any>} the JSON answer
 * @throws {ApiError}
 */
export async function getJson(url, options = {}) {
  return (await send(url, { ...options, headers: { Accept: "application/json" } })).json();
}

/**
 * @param {string} url
 * @returns {Promise<ArrayBuffer>} the bytes of the answer
 * @throws {ApiError}
 */
export async function getBytes(url) {
  return (await send(url, { headers: { Accept: "application/octet-stream" } })).arrayBuffer();
}

/**
 * @param {string} url
 * @param {object} body sent as JSON
 * @returns {Promise<any>} the JSON answer
 * @throws {ApiError}
 */
export async function postJson(url, body) {
  const headers = { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": csrfToken() };
  return (await send(url, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

/**
 * Fetch a page as a fragment (header `HX-Request`), parsed but not inserted.
 * @param {string} url
 * @param {object} [options] of `fetch`, for instance `signal`
 * @returns {Promise<Document>}
 * @throws {ApiError}
 */
export async function getFragment(url, options = {}) {
  const response = await send(url, { ...options, headers: { Accept: "text/html", "HX-Request": "true" } });
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

/**
 * After signing in again in another tab this page holds an old token: read the new one from a fresh copy of the page.
 * @returns {Promise<"same"|"renewed"|"other-user">} what was found
 * @throws {ApiError} with status 401 while nobody is signed in
 */
export async function renewToken() {
  const response = await send(location.href, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const content = (name) => page.querySelector(`meta[name="${name}"]`)?.content ?? "";
  if (!content("user")) throw new ApiError(401, _("You are signed out."));
  if (content("user") !== userName()) return "other-user";
  const changed = content("csrf-token") !== csrfToken();
  meta("csrf-token").content = content("csrf-token");
  return changed ? "renewed" : "same";
}
