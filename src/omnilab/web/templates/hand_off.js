"use strict";
(() => {
  const part = (id) => document.getElementById(id);
  const open = part("open");
  const claim = location.hash.slice(1);
  const link = location.pathname.split("/").pop();
  const tell = (words) => { part("told").textContent = words; };
  const names = [
    ["client_id", "Client id"], ["client_secret", "Client secret"], ["secret_id", "The secret's id"],
    ["audience", "Audience"], ["token_url", "Token URL"], ["base_url", "Base URL"], ["expires_at", "Expires"],
  ];
  let secret = "";

  const show = (opened) => {
    secret = opened.client_secret;
    for (const [name, label] of names) {
      if (!opened[name]) continue;
      const term = document.createElement("dt");
      const code = document.createElement("code");
      const value = document.createElement("dd");
      term.textContent = label;
      code.id = name;
      code.textContent = opened[name];
      value.append(code);
      part("values").append(term, value);
    }
    part("before").hidden = true;
    part("after").hidden = false;
    tell("Here it is.");
    // The claim has done its work; it need not stay in the history.
    history.replaceState(null, "", location.pathname);
  };

  const ask = async () => {
    const answer = await fetch("/hand-off", {
      method: "POST", headers: {"Content-Type": "application/json"}, cache: "no-store", credentials: "omit",
      redirect: "error", body: JSON.stringify({hand_off_id: link, claim}),
    });
    const document = await answer.json();
    if (answer.ok) return show(document);
    if (answer.status === 503 || answer.status === 429) open.disabled = false;
    tell(document.detail + " (request " + document.request_id + ")");
  };

  open.addEventListener("click", () => {
    if (open.disabled) return;
    open.disabled = true;
    tell("One moment…");
    ask().catch(() => tell("The answer did not arrive. The link may be used up by now: ask OmniLab for a new one."));
  });
  part("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(secret);
      part("copied").textContent = "Copied.";
    } catch {
      part("copied").textContent = "Copying is not allowed here: select the text.";
    }
  });
  if (!claim) {
    open.disabled = true;
    tell("The link is not complete: the part after # is missing. Open it as it was sent.");
  }
})();
