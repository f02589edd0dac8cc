/**
 * What every page needs: the CSRF header on htmx requests, errors of htmx requests as toasts, local times, the colour
 * scheme button.
 * @module app
 */
import { csrfToken } from "./api.js";
import { _ } from "./messages.js";
import { localTimes } from "./times.js";
import { toast } from "./toast.js";

const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

document.addEventListener("htmx:config:request", (event) => {
  const { request } = event.detail.ctx;
  if (!SAFE.has(request.method.toUpperCase())) request.headers["X-CSRF-Token"] = csrfToken();
});

// htmx 4 swaps error pages like any other. A refusal in problem+json is not a page: show its sentence instead.
document.addEventListener("htmx:before:response", async (event) => {
  const { raw } = event.detail.ctx.response;
  if (raw.status < 400 || !(raw.headers.get("content-type") ?? "").includes("json")) return;
  event.preventDefault();
  const problem = await raw.json().catch(() => ({}));
  toast(problem.detail ?? problem.title ?? _("The server answered %(status)s.", { status: raw.status }), { kind: "error" });
});

document.addEventListener("htmx:error", () => {
  toast(_("The server did not answer. Please try again."), { kind: "error" });
});

localTimes(document);
document.addEventListener("htmx:after:swap", () => localTimes(document));

/** The scheme after the present one: the opposite of what is seen first, then back to the system's. */
function nextTheme() {
  const chosen = document.documentElement.dataset.theme;
  const systemDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const order = systemDark ? [undefined, "light", "dark"] : [undefined, "dark", "light"];
  return order[(order.indexOf(chosen) + 1) % order.length];
}

const themeButton = document.getElementById("theme-toggle");
if (themeButton) {
  themeButton.hidden = false;
  const describe = () => {
    const names = { light: _("light"), dark: _("dark") };
    const scheme = names[document.documentElement.dataset.theme] ?? _("as the system");
    const text = _("Colour scheme: %(scheme)s", { scheme });
    themeButton.title = text;
    themeButton.setAttribute("aria-label", text);
  };
  describe();
  themeButton.addEventListener("click", () => {
    const theme = nextTheme();
    if (theme) {
      document.documentElement.dataset.theme = theme;
      localStorage.setItem("fiftycells.theme", theme);
    } else {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("fiftycells.theme");
    }
    describe();
  });
}
