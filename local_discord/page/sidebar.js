// The left column: channels, people, and who one is.

import { byId, h, show } from "./dom.js";
import { inline } from "./markdown.js";
import { openMenu } from "./menus.js";
import { avatar } from "./message.js";
import { isThread } from "./threads.js";
import { channel, manages, nameOf, state, titleOf } from "./state.js";

/** @typedef {{ open: (channelId: string) => void, become: (userId: string) => void }} SidebarActs */

const THEMES = ["auto", "dark", "light"];

/** @param {SidebarActs} acts @returns {() => void} */
export function start(acts) {
  const side = byId("sidebar");
  const unfold = (/** @type {boolean} */ shown) => {
    side.classList.toggle("shown", shown);
    byId("show-sidebar").setAttribute("aria-expanded", String(shown));
  };
  byId("show-sidebar").onclick = () => unfold(!side.classList.contains("shown"));
  side.addEventListener("click", (event) => /** @type {HTMLElement} */ (event.target).closest("nav button") && unfold(false));
  side.addEventListener("keydown", (event) => event.key === "Escape" && unfold(false));
  byId("scroller").addEventListener("pointerdown", () => unfold(false));
  byId("theme").onclick = () => theme(THEMES[(THEMES.indexOf(localStorage.getItem("theme") ?? "auto") + 1) % THEMES.length] ?? "auto");
  theme(localStorage.getItem("theme") ?? "auto");
  byId("who").onclick = () => openMenu(people(acts), byId("who"));
  return () => render(acts);
}

/** @param {string} name */
function theme(name) {
  localStorage.setItem("theme", name);
  document.documentElement.dataset.theme = name;
  byId("theme").textContent = { auto: "◐", dark: "☾", light: "☀" }[name] ?? "◐";
  byId("theme").setAttribute("aria-label", `Colours: ${name}; press to change`);
  byId("theme").title = `Colours: ${name}`;
}

/** @param {SidebarActs} acts @returns {import("./menus.js").Item[]} */
function people(acts) {
  const items = state.people.map((user) => ({ words: `Be ${nameOf(user)}`, checked: user.id === state.me.id, act: () => acts.become(user.id) }));
  return [{ heading: "Who are you in this tab?" }, ...items];
}

/** @param {SidebarActs} acts */
function render(acts) {
  const here = channel();
  const title = here ? titleOf(here) : "";
  byId("guild").textContent = state.guild.name;
  byId("channel-title").textContent = here?.type === 1 ? `@${title}` : `#${title}`;
  show(byId("channel-topic"), ...inline(here?.topic ?? inThread(here)));
  byId("channel-menu").hidden = !here?.guild_id;
  document.title = here ? `${here.type === 1 ? "@" : "#"}${title} · ${state.guild.name}` : "Local Discord";
  const entry = (/** @type {import("./types").Channel} */ one) => {
    const current = one.id === state.channelId;
    const unread = state.unread.has(one.id) && !current;
    const sign = one.type === 1 ? avatar(state.bot) : h("span", { class: "hash", "aria-hidden": "true" }, isThread(one) ? (one.type === 12 ? "🔒" : "↳") : "#");
    const kinds = [unread && "unread", isThread(one) && "thread", one.thread_metadata?.archived && "archived"].filter(Boolean).join(" ");
    const props = { type: "button", "data-key": one.id, class: kinds, "aria-current": current ? "page" : null, onclick: () => acts.open(one.id) };
    return h("button", props, sign, titleOf(one), unread ? h("span", { class: "sr" }, " (unread)") : null);
  };
  show(byId("channels"), ...state.channels.filter((one) => one.type !== 1).map(entry));
  show(byId("direct"), ...state.channels.filter((one) => one.type === 1).map(entry));
  show(byId("people"), ...[state.bot, ...state.people].map(member));
  show(byId("who"), avatar(state.me), h("span", {}, h("strong", {}, nameOf(state.me)), h("small", {}, manages() ? "server manager" : "member")), h("span", { class: "sign", "aria-hidden": "true" }, "⇅"));
  byId("who").setAttribute("aria-label", `You are ${nameOf(state.me)}; press to be somebody else`);
  status();
}

/** Where a thread belongs, and what holds in it. @param {import("./types").Channel | undefined} here */
function inThread(here) {
  if (!here || !isThread(here)) return "";
  const parent = state.channels.find((one) => one.id === here.parent_id);
  const { archived, locked } = here.thread_metadata ?? {};
  return [`A thread in #${parent ? titleOf(parent) : "?"}`, archived && "archived", locked && "locked"].filter(Boolean).join(", ");
}

/** @param {import("./types").User} user */
function member(user) {
  const away = user.id === state.bot.id && !state.online;
  const words = user.id === state.bot.id ? (away ? "offline" : "online") : user.id === state.me.id ? "you, in this tab" : "";
  return h("li", { "data-key": user.id, class: away ? "away" : "" }, avatar(user), h("span", {}, nameOf(user), user.bot ? h("span", { class: "tag" }, "APP") : null, words ? h("small", {}, words) : null));
}

function status() {
  const bar = byId("status");
  const words =
    state.connection === "refused"
      ? "This address is not known any more. Open the one that the program printed when it started."
      : state.connection === "closed"
        ? "The connection is gone; this page comes back by itself once the program runs again."
        : state.online
          ? ""
          : `${nameOf(state.bot)} is not connected yet; commands work as soon as it is.`;
  bar.textContent = words;
  bar.hidden = !words;
}
