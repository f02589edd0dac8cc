/**
 * Buttons with `data-copy="id"` copy the value of that input.
 * @module copy
 */
import { toast } from "./toast.js";

/** The clipboard exists on https and localhost only; elsewhere the old command still works. */
async function copy(input) {
  if (navigator.clipboard) return navigator.clipboard.writeText(input.value);
  input.select();
  if (!document.execCommand("copy")) throw new Error("refused");
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const input = document.getElementById(button.dataset.copy);
    try {
      await copy(input);
      toast("Copied.", { kind: "success" });
    } catch {
      input.select();
      toast("Copying was refused. The text is selected: press Ctrl+C.", { kind: "warning" });
    }
  });
}
