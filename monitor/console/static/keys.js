// Keys press what the page shows: 1 to 4, s, u. Without this script the buttons do the same.
"use strict";
document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("input, select, textarea");
  if (busy || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const wanted = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key);
  if (wanted) { event.preventDefault(); wanted.click(); }
});
