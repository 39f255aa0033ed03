// What makes pages quicker. Every page works without it.
"use strict";
(() => {
  const said = document.getElementById("said");
  const say = (text) => {
    said.textContent = "";
    setTimeout(() => { said.textContent = text; }, 50);
  };

  // Codes are copied with one click.
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
      } catch {
        const area = document.createElement("textarea"); // a page without https
        area.value = button.dataset.copy;
        area.className = "sr-only";
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
        button.focus();
      }
      button.classList.add("copied");
      say(document.body.dataset.copied);
      setTimeout(() => button.classList.remove("copied"), 1600);
    });
  }

  // The theme changes at once, and the server keeps it.
  for (const form of document.querySelectorAll("[data-theme-switch]")) {
    form.addEventListener("submit", (event) => {
      const theme = event.submitter ? event.submitter.value : "";
      event.preventDefault();
      if (theme) document.documentElement.dataset.theme = theme;
      else delete document.documentElement.dataset.theme;
      for (const b of document.querySelectorAll("[data-theme-switch] button")) {
        b.setAttribute("aria-pressed", String(b.value === theme));
      }
      const body = new URLSearchParams({ theme });
      fetch(form.action, { method: "POST", body }).catch(() => {}); // not kept: it lasts as long as the page
    });
  }

  // Distances of time stay true while a page is open.
  const units = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];
  const relative = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always" });
  const opened = Date.now();
  const answered = Number(document.body.dataset.now) * 1000; // by the server's clock
  const refresh = () => {
    for (const time of document.querySelectorAll("time[data-relative]")) {
      const away = (Date.parse(time.dateTime) - answered - (Date.now() - opened)) / 1000;
      for (const [unit, seconds] of units) {
        if (Math.abs(away) < seconds || (unit === "month" && Math.abs(away) < 5184000)) continue;
        time.textContent = relative.format(Math.trunc(away / seconds), unit);
        break;
      }
    }
  };
  setInterval(refresh, 30000);

  // A menu closes with Escape and with a click beside it.
  for (const menu of document.querySelectorAll("details.menu")) {
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && menu.open) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    });
    document.addEventListener("click", (event) => {
      if (menu.open && !menu.contains(event.target)) menu.open = false;
    });
  }

  // A file can be dropped. Of one that is too large only so much is sent as lets the
  // server see that and say it.
  for (const drop of document.querySelectorAll(".drop")) {
    const input = drop.querySelector("input");
    const most = Number(input.dataset.most);
    input.addEventListener("change", () => {
      if (!most || ![...input.files].some((file) => file.size > most + 1)) return;
      const files = new DataTransfer();
      for (const file of input.files) files.items.add(new File([file.slice(0, most + 1)], file.name));
      input.files = files.files;
    });
    drop.classList.add("drop-ready");
    for (const type of ["dragenter", "dragover"]) {
      drop.addEventListener(type, (event) => { event.preventDefault(); drop.classList.add("drop-over"); });
    }
    for (const type of ["dragleave", "drop"]) {
      drop.addEventListener(type, () => drop.classList.remove("drop-over"));
    }
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      const files = new DataTransfer();
      for (const file of event.dataTransfer.files) {
        files.items.add(file);
        if (!input.multiple) break;
      }
      input.files = files.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }

  // What went wrong takes the focus.
  const errors = document.querySelector("[data-errors]");
  if (errors) errors.focus();
})();
