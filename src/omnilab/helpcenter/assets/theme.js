// Before the first paint, so that a page never flashes in the other mode.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("omnilab-theme"); } catch { /* storage is off: follow the system */ }
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
