// The messages of the open channel: rendered when they change, kept at the newest unless somebody reads further up.

import { byId, h, morph, show } from "./dom.js";
import { article, avatar, continues } from "./message.js";
import { inline } from "./markdown.js";
import { channel, forget, nameOf, state, titleOf } from "./state.js";

/** @typedef {import("./types").Message} Message */

const NEAR = 60;
const FLASH = 2000;
const list = byId("messages");
const scroller = byId("scroller");

/** What is shown of each message, and what it was made from. @type {Map<string, { token: string, message: Message, element: HTMLElement }>} */
const shownMessages = new Map();
let atEnd = true;
let lastTop = 0;
let lastSize = "";
let shownChannel = "";

/** @param {import("./message.js").MessageActs} acts @param {() => void} loadOlder */
export function start(acts, loadOlder) {
  scroller.addEventListener("scroll", () => {
    // What grows below or shrinks above leaves the top where it was, and another width moves it: only somebody who
    // scrolls up wants to leave the end.
    const size = `${scroller.clientWidth} ${scroller.clientHeight} ${scroller.scrollHeight}`;
    if (scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR) atEnd = true;
    else if (scroller.scrollTop < lastTop && size === lastSize) atEnd = false;
    lastTop = scroller.scrollTop;
    lastSize = size;
    byId("to-newest").hidden = atEnd;
    if (scroller.scrollTop < 300 && state.older) loadOlder();
  });
  byId("to-newest").onclick = toNewest;
  new ResizeObserver(stay).observe(list);
  new ResizeObserver(stay).observe(scroller);
  list.addEventListener("keydown", walk);
  return () => render(acts);
}

function stay() {
  if (atEnd) scroller.scrollTop = scroller.scrollHeight;
}

/** Does the newest message show? */
export function isAtNewest() {
  return atEnd;
}

/** Show the newest message, and stay there. */
export function toNewest() {
  atEnd = true;
  stay();
}

/** @param {import("./message.js").MessageActs} acts */
function render(acts) {
  const here = channel();
  if (state.channelId !== shownChannel) {
    shownChannel = state.channelId;
    atEnd = true;
  }
  const height = scroller.scrollHeight;
  const first = list.querySelector("article")?.id;
  const elements = state.messages.map((message, at) => element(message, state.messages[at - 1], acts));
  const known = new Set(state.messages.map((message) => message.id));
  for (const id of shownMessages.keys()) if (!known.has(id)) shownMessages.delete(id);
  const asked = state.pending.filter((one) => !one.target && one.channelId === state.channelId);
  for (const one of asked) {
    const before = one.id ? state.messages.findIndex((message) => BigInt(message.id) > BigInt(one.id)) : -1;
    const next = before < 0 ? undefined : /** @type {HTMLElement} */ (shownMessages.get(state.messages[before]?.id ?? "")?.element);
    elements.splice(next ? elements.indexOf(next) : elements.length, 0, waiting(one));
  }
  show(list, state.older ? null : beginning(here), ...elements);
  const last = list.querySelector("article:last-of-type");
  if (last && !list.querySelector("article[tabindex='0']")) last.setAttribute("tabindex", "0");
  if (!atEnd && first && list.querySelector("article")?.id !== first) scroller.scrollTop += scroller.scrollHeight - height;
  stay();
}

/** @param {Message} message @param {Message | undefined} before @param {import("./message.js").MessageActs} acts */
function element(message, before, acts) {
  const short = continues(message, before);
  const mine = state.pending.filter((one) => one.target?.startsWith(`${message.id} `)).map((one) => `${one.target}${one.failed}`);
  const token = [short, state.me.id, state.people.length, state.channels.length, state.guild.roles.length, ...mine].join();
  const shown = shownMessages.get(message.id);
  if (shown && shown.token === token && shown.message === message) return shown.element;
  const made = article(message, short, acts);
  if (shown) morph(shown.element, made);
  shownMessages.set(message.id, { token, message, element: shown?.element ?? made });
  return shown?.element ?? made;
}

/** @param {import("./types").Channel | undefined} here */
function beginning(here) {
  if (!here) return null;
  const title = here.type === 1 ? titleOf(here) : `#${titleOf(here)}`;
  const words = here.type === 1 ? `Only you and ${titleOf(here)} see this.` : here.topic || `This is the beginning of ${title}.`;
  return h("div", { class: "beginning", "data-key": "beginning" }, h("h2", {}, title), h("p", {}, ...inline(words)));
}

/** @param {import("./types").Pending} one */
function waiting(one) {
  const after = one.failed
    ? h("p", { class: "failed", role: "alert" }, "⚠ The application did not respond. ", h("button", { type: "button", class: "plain", onclick: () => forget(one) }, "Dismiss"))
    : h("p", { class: "thinking" }, h("span", { class: "dots", "aria-hidden": "true" }), "Sending…");
  return h("div", { class: "message waiting", "data-key": `waiting-${one.title}` }, h("div", { class: "above" }, avatar(state.me), h("strong", {}, nameOf(state.me)), " used ", h("span", { class: "mention" }, one.title)), after);
}

/** Arrow keys go from message to message. @param {KeyboardEvent} event */
function walk(event) {
  const from = /** @type {HTMLElement} */ (event.target);
  if (!from.matches("article") || !["ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
  const all = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("article")]);
  const at = all.indexOf(from);
  const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: all.length - 1 }[event.key];
  const next = all[Math.min(Math.max(to ?? at, 0), all.length - 1)];
  event.preventDefault();
  from.setAttribute("tabindex", "-1");
  next?.setAttribute("tabindex", "0");
  next?.focus();
}

/** Bring a message into sight, and mark it for a moment; false where it is not here. @param {string} id */
export function flash(id) {
  const found = document.getElementById(`message-${id}`);
  if (!found) return false;
  atEnd = false;
  found.scrollIntoView({ block: "center" });
  found.classList.add("flash");
  found.focus({ preventScroll: true });
  setTimeout(() => found.classList.remove("flash"), FLASH);
  return true;
}
