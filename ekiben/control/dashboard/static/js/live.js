// Keeps the page as it is on the server: events say which fragments are new, and those are fetched and merged.

import { merge } from "./merge.js";

const page = document.body.dataset.page;
const sign = document.getElementById("live");
let source = null;
let running = false;
let wanted = null;

function say(state, text) {
  sign.className = `live ${state}`;
  const place = sign.querySelector(".text");
  if (place.textContent !== text) place.textContent = text;
}

function fragments() {
  return [...document.querySelectorAll("[data-fragment]")];
}

async function fetchFragment(place, digest) {
  const address = `/fragments/${place.dataset.fragment}?page=${encodeURIComponent(page)}`;
  const answer = await fetch(address, { credentials: "same-origin", redirect: "error" });
  if (!answer.ok) throw new Error(`${answer.status}`);
  const fresh = document.createElement("div");
  fresh.innerHTML = await answer.text();
  merge(place, fresh);
  place.dataset.digest = answer.headers.get("X-Fragment-Digest") ?? digest;
}

// One round at a time; what arrives meanwhile is looked at after it.
async function catchUp(digests) {
  wanted = digests;
  if (running) return;
  running = true;
  try {
    while (wanted) {
      const now = wanted;
      wanted = null;
      for (const place of fragments()) {
        const digest = now[place.dataset.fragment];
        if (digest && digest !== place.dataset.digest) await fetchFragment(place, digest);
      }
    }
    if (source) say("on", "live");
  } catch {
    say("off", "not live");
  } finally {
    running = false;
  }
}

function open() {
  if (source || document.hidden) return;
  source = new EventSource(`/events?page=${encodeURIComponent(page)}`);
  source.addEventListener("open", () => say("on", "live"));
  source.addEventListener("message", (event) => catchUp(JSON.parse(event.data)));
  source.addEventListener("gone", () => close("off", "no longer there"));
  source.addEventListener("error", () => {
    say("off", "not live");
    if (source && source.readyState === EventSource.CLOSED) {
      // The server refused: the browser does not try again by itself.
      source = null;
      setTimeout(open, 3000);
    }
  });
}

function close(state, text) {
  source?.close();
  source = null;
  say(state, text);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) close("", "paused");
  else open();
});
addEventListener("pagehide", () => close("", "paused"));
addEventListener("pageshow", open);

open();
