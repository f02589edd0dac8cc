// Sets the colour scheme and the tile size the person chose before the first paint; without a choice the system decides.
(() => {
  const theme = localStorage.getItem("fiftycells.theme");
  const size = localStorage.getItem("fiftycells.tile-size");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  document.documentElement.dataset.tileSize = size === "s" || size === "l" ? size : "m";
})();
