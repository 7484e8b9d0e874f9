"use strict";
const root = document.documentElement;
const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* storage is off */ } };
const remembered = (name) => { try { return localStorage.getItem(name); } catch { return null; } };

const theme = document.getElementById("theme");
const showTheme = () => theme.setAttribute("aria-pressed", String(root.dataset.theme === "dark"));
theme.addEventListener("click", () => {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  remember("omnilab-theme", root.dataset.theme);
  showTheme();
});
showTheme();

const places = document.querySelectorAll("[data-base-url]");
const host = document.getElementById("base-url");
if (host && places.length) {
  const fill = () => places.forEach((place) => { place.textContent = host.value.replace(/\/+$/, ""); });
  host.value = remembered("omnilab-base-url") || places[0].textContent;
  fill();
  host.addEventListener("input", () => { remember("omnilab-base-url", host.value); fill(); });
} else if (host) {
  host.parentElement.hidden = true;
}

document.querySelectorAll("pre").forEach((block) => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(block.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(block);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  block.before(button);
});

const results = document.getElementById("results");
let entries = null;
let asked = 0;
document.getElementById("search").addEventListener("input", async (event) => {
  const turn = ++asked;
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  entries ??= await (await fetch("/docs/search.json")).json();
  if (turn !== asked) return;
  results.replaceChildren();
  if (!words.length) return;
  const score = (entry) => words.some((word) => entry.title.toLowerCase().includes(word)) ? 0 : 1;
  const found = entries
    .filter((entry) => words.every((word) => `${entry.title} ${entry.text}`.toLowerCase().includes(word)))
    .sort((one, other) => score(one) - score(other));
  const count = document.createElement("p");
  count.textContent = found.length === 1 ? "1 page found" : `${found.length} pages found`;
  const list = document.createElement("ul");
  for (const entry of found) {
    const link = document.createElement("a");
    link.href = `/docs/${entry.slug}`;
    link.textContent = entry.title;
    const line = document.createElement("li");
    line.append(link);
    list.append(line);
  }
  results.append(count, list);
});

const feedback = document.getElementById("feedback");
if (feedback) {
  const said = feedback.querySelector("[role=status]");
  const more = feedback.querySelector("div");
  const answers = feedback.querySelectorAll("button[value]");
  let helpful = null;
  answers.forEach((button) => button.addEventListener("click", () => {
    helpful = button.value === "yes";
    answers.forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
    more.hidden = false;
    feedback.querySelector("textarea").focus();
  }));
  feedback.addEventListener("submit", async (event) => {
    event.preventDefault();
    const sent = {
      page: feedback.dataset.page,
      helpful,
      comment: feedback.querySelector("textarea").value,
      website: document.getElementById("feedback-website").value,
    };
    try {
      const headers = { "Content-Type": "application/json" };
      const answer = await fetch("/docs/feedback", { method: "POST", headers, body: JSON.stringify(sent) });
      if (answer.ok) more.hidden = true;
      said.textContent = answer.ok ? "Thank you." : (await answer.json()).detail;
    } catch {
      said.textContent = "It could not be sent. Please try again later.";
    }
  });
}
