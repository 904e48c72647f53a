"use strict";
// Pages work without this script. It keeps their numbers fresh, and spares the reader typing.

// Sign in with the token behind the # of the link: browsers send that part nowhere, so that no log has it.
const signIn = document.querySelector("form[data-sign-in]");
if (signIn) {
  const found = /^#token=(orch_[\w-]+)$/.exec(location.hash);
  if (found) {
    history.replaceState(null, "", location.pathname + location.search);
    signIn.elements.token.value = found[1];
    signIn.submit();
  } else if (!signIn.hasAttribute("data-failed")) {
    fetch("/signed-in", { redirect: "manual" }).then((answer) => {
      if (answer.status === 204) location.replace(signIn.dataset.next);
    });
  }
}

// One stream tells this page that something has changed. A page in the background does not listen.
let stream = null;
const listen = () => {
  const wanted = document.querySelector("[data-live]") && document.visibilityState === "visible";
  if (wanted && !stream) {
    stream = new EventSource("/live");
    stream.addEventListener("changed", () => htmx.trigger(document.body, "changed"));
  } else if (!wanted && stream) {
    stream.close();
    stream = null;
  }
};
document.addEventListener("visibilitychange", listen);
window.addEventListener("pagehide", () => stream && stream.close());
listen();

// Do not replace what someone reads with the keyboard, has selected, or has opened.
document.body.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.target;
  if (!part.hasAttribute("data-live")) return;
  const selected = getSelection();
  const inUse = part.contains(document.activeElement) || part.querySelector("details[open]");
  const marked = selected && !selected.isCollapsed && part.contains(selected.anchorNode);
  if (inUse || marked) event.preventDefault();
});

// Browsers give the clipboard to pages over HTTPS and of this machine only.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

for (const button of document.querySelectorAll("[data-step]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const field = document.getElementById(button.dataset.for);
    const least = Number(field.min || 0);
    const next = Math.max(least, (Number(field.value) || 0) + Number(button.dataset.step));
    field.value = next === 0 ? "" : String(Number(next.toFixed(6))); // 0.14 + 1 is 1.1400000000000001
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

// A second press while a form is under way is the same press.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    setTimeout(() => delete form.dataset.sent, 5000);
  });
}
