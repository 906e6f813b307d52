// Keeps the page up to date, and adds the buttons that copy. Without it the
// page says the same, as of when it was loaded.
"use strict";
(() => {
  const page = document.getElementById("page");

  const addButtons = () => {
    if (!navigator.clipboard) return; // it is there on https and on this machine only
    for (const place of page.querySelectorAll(".command")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(place.querySelector("code").textContent);
        button.textContent = "Copied";
      });
      place.append(button);
    }
  };

  // busy: what somebody reads or types must not be taken away.
  const busy = () => document.hidden || [...page.querySelectorAll("input")].some((i) => i.value !== i.defaultValue || i.checked !== i.defaultChecked) || page.contains(document.activeElement) || !getSelection().isCollapsed;

  const refresh = async () => {
    if (busy()) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("page");
      if (busy()) return;
      const open = [...page.querySelectorAll("details[open]")].map((d) => d.id);
      page.replaceChildren(...fresh.childNodes);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      page.classList.remove("old");
      addButtons();
    } catch {
      page.classList.add("old"); // the connector is stopped, or restarts
    }
  };

  addButtons();
  if (page.dataset.every) setInterval(refresh, Number(page.dataset.every));
})();
