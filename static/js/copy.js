/**
 * Buttons with `data-copy="id"` copy the value of that input. `data-at` names the page that shows it: loading this answer
 * to a form again would make a second link or token.
 * @module copy
 */
import { _ } from "./messages.js";
import { toast } from "./toast.js";

/** The clipboard exists on https and localhost only; elsewhere the old command still works. */
async function copy(input) {
  if (navigator.clipboard) return navigator.clipboard.writeText(input.value);
  input.select();
  if (!document.execCommand("copy")) throw new Error("refused");
}

for (const { dataset } of document.querySelectorAll("[data-at]")) history.replaceState(null, "", dataset.at);
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const input = document.getElementById(button.dataset.copy);
    try {
      await copy(input);
      toast(_("Copied."), { kind: "success" });
    } catch {
      input.select();
      toast(_("Copying was refused. The text is selected: press Ctrl+C."), { kind: "warning" });
    }
  });
}
