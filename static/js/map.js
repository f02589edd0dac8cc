/**
 * The page of the map: connects pointer, keys, buttons and events to it.
 * @module map
 */
import { CellMap } from "./cell_map.js";
import { KeySheet } from "./key_sheet.js";
import { listen } from "./keys.js";
import { Live } from "./live.js";
import { showJob } from "./map_job.js";
import { followPointer } from "./map_pointer.js";
import { _ } from "./messages.js";
import { toast } from "./toast.js";

const PAN = 0.15; // of the canvas at a key press
const CLOSER = 1.5;
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

const page = document.getElementById("map-page");
const canvas = document.getElementById("map");

function start() {
  const map = new CellMap(canvas, page.dataset);
  const { view, legend } = map;
  const keySheet = new KeySheet(document.getElementById("keys"), page.dataset.project);
  const dialogOpen = () => document.querySelector("dialog[open]") !== null;
  const commands = {
    move: ({ key, extend }) => {
      const [dx, dy] = DIRECTIONS[key] ?? [];
      if (dx === undefined) return false;
      return extend ? map.step(dx, dy) : view.pan(-dx * PAN * view.width, dy * PAN * view.height);
    },
    classKey: () => false,
    closer: () => view.zoomBy(CLOSER),
    farther: () => view.zoomBy(1 / CLOSER),
    whole: () => view.look({ x: 0, y: 0 }, 1),
    open: () => map.open(),
    escape: () => map.letGo(),
    grid: () => void map.toGrid(),
    lasso: () => map.lasso(),
    around: () => map.catchAround(),
    window: () => map.catchWindow(),
    similar: () => map.similar(),
    unlabelled: () => legend.toggleUnlabelled(),
    color: () => legend.colorBy(),
    "show-all": () => legend.clear(),
    help: () => keySheet.toggle(),
  };
  listen(Object.fromEntries(Object.entries(commands).map(([name, act]) => [
    name, (argument) => (dialogOpen() && name !== "help" ? false : act(argument)),
  ])));
  document.addEventListener("click", (event) => {
    const control = event.target.closest("[data-command]");
    if (control && !control.href) commands[control.dataset.command]();
  });
  followPointer(canvas, view, {
    lassoing: () => map.lassoing,
    onHover: (at) => map.hover(at),
    onClick: (at) => map.point(at),
    onOpen: (at) => { map.point(at); if (map.current >= 0) map.open(); },
    onLasso: (corners, done) => map.drawn(corners, done),
  });
  new MutationObserver(() => map.repaint()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => map.repaint());
  void map.refresh();
  return map;
}

function startIfPossible() {
  try {
    return start();
  } catch (error) {
    console.warn(error);
    document.getElementById("no-webgl").hidden = false;
    canvas.hidden = true;
    return null;
  }
}

const map = canvas && startIfPossible();
const refresh = () => void map?.refresh();

new Live(
  page.dataset,
  {
    labels: refresh,
    scores: refresh,
    job: showJob,
    map: ({ map_id: id }) => {
      if (String(id) === page.dataset.map) refresh();
      else if (!map) location.reload();
      else toast(_("The cells were laid out anew."), { kind: "info", action: _("Show it"), onAction: () => location.reload(), seconds: 0 });
    },
  },
  { onGap: refresh, onState: () => {} },
);
