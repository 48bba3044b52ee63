// Before anything is drawn, so that nothing flashes: the chosen colours, or those of the system.
(() => {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
