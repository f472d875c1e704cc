// Live updates, and nothing else: every page works without this file.
//
// The console says only that there is news. The page is fetched anew, and the parts that are marked `data-fresh` are put in
// the place of the old ones. A part in which somebody writes or stands with the keyboard stays as it is.
"use strict";

(() => {
  const address = document.body.dataset.live;
  const parts = () => [...document.querySelectorAll("[data-fresh]")];
  if (!address || parts().length === 0 || !window.EventSource) return;

  const told = document.querySelector(".told");
  let busy = false;
  let again = false;

  const inUse = (part) =>
    part.contains(document.activeElement) ||
    [...part.querySelectorAll("input:not([type=hidden]), textarea")].some((field) => field.value !== field.defaultValue);

  const put = (page) => {
    let changed = false;
    for (const part of parts()) {
      const fresh = page.querySelector(`[data-fresh="${part.dataset.fresh}"]`);
      if (fresh === null || fresh.innerHTML === part.innerHTML || inUse(part)) continue;
      part.replaceWith(document.adoptNode(fresh));
      changed = true;
    }
    if (changed) {
      document.title = page.title;
      told.textContent = "Updated";
      setTimeout(() => { told.textContent = ""; }, 2000);
    }
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, redirect: "manual" });
      if (answer.ok) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
      else if (answer.type === "opaqueredirect") location.reload();
    } catch {
      // The console is gone for a moment; the browser connects again, and then there is news.
    }
    setTimeout(() => {
      busy = false;
      if (again) { again = false; refresh(); }
    }, 700);
  };

  let before = false;
  const follow = new EventSource(address);
  follow.addEventListener("news", refresh);
  follow.addEventListener("following", () => { if (before) refresh(); before = true; });
  follow.addEventListener("signed-out", () => { follow.close(); location.reload(); });
})();
