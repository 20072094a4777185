// Puts the parts together: what happens on the server goes into the state, what a person does goes to the server.

import * as composer from "./composer.js";
import { targetOf } from "./components.js";
import { Connection } from "./connection.js";
import { byId, h, show } from "./dom.js";
import { openForm } from "./form.js";
import { openMenu, pickEmoji, viewPicture } from "./menus.js";
import { excerpt } from "./message.js";
import * as messages from "./messages.js";
import * as sidebar from "./sidebar.js";
import { apply, changed, channel, enter, fill, forget, manages, nameOf, named, onChange, prepend, state, titleOf, wait } from "./state.js";
import { channelMenu, isThread, startThread } from "./threads.js";
import { startCounting } from "./time.js";

/** @typedef {import("./types").Message} Message */

const PAGE = 50;
const MENU = 3;
const HAS_THREAD = 1 << 5;
/** How long a form waits to hear what became of it. */
const ANSWER = 5000;
const REFRESH = 6 * 3_600_000;
/** How many pages of older messages a jump goes through. */
const FAR = 20;

/** The interactions that this tab has begun: another tab of the same person does not open their forms. @type {Set<string>} */
const ours = new Set();
/** Forms that came before the id of what they answer. @type {Map<string, import("./types").Modal>} */
const early = new Map();
/** Who waits for the outcome of an interaction. @type {Map<string, (answered: boolean) => void>} */
const awaited = new Map();
let loading = false;

const connection = new Connection(() => ({ user: sessionStorage.getItem("user") }), happened, (status) => {
  state.connection = status;
  changed();
});

/** @param {string} event @param {any} data */
function happened(event, data) {
  if (event === "ENTERED") {
    sessionStorage.setItem("user", data.me.id);
    state.channelId ||= sessionStorage.getItem("channel") ?? "";
    enter(data);
    trying(load);
    return;
  }
  if (event === "APPLICATION_COMMANDS_UPDATE") loadCommands();
  if (event.startsWith("CHANNEL_") || event.startsWith("THREAD_")) trying(loadChannels);
  apply(event, data);
  if (event === "INTERACTION_MODAL_CREATE") {
    if (ours.has(data.id)) form(data);
    else early.set(data.id, data);
  }
  if (event === "INTERACTION_SUCCESS" || event === "INTERACTION_FAILURE") awaited.get(data.id)?.(event === "INTERACTION_SUCCESS");
}

/** Read the open channel anew. */
async function load() {
  const { channelId } = state;
  if (!channelId) return;
  const page = await connection.request("messages", { channel_id: channelId, limit: PAGE });
  if (channelId === state.channelId) fill(page, PAGE);
  await loadCommands();
}

/** Read the channels anew; one that is not there any more is left. */
async function loadChannels() {
  const before = channel();
  apply("CHANNELS", await connection.request("channels"));
  if (before && !channel()) await open(state.channels[0]?.id ?? "");
}

async function loadCommands() {
  const { channelId } = state;
  const commands = await connection.request("commands", { channel_id: channelId });
  if (channelId === state.channelId) apply("COMMANDS", commands);
}

async function loadOlder() {
  const first = state.messages[0];
  if (loading || !first) return;
  loading = true;
  try {
    prepend(await connection.request("messages", { channel_id: state.channelId, limit: PAGE, before_id: first.id }), PAGE);
  } finally {
    loading = false;
  }
}

/** @param {string} channelId */
function open(channelId) {
  sessionStorage.setItem("channel", channelId);
  Object.assign(state, { channelId, messages: [], older: false, replyingTo: null, typingUntil: 0 });
  state.unread.delete(channelId);
  changed();
  byId("composer-input").focus();
  return load();
}

/** @param {string} user */
function become(user) {
  sessionStorage.setItem("user", user);
  Object.assign(state, { pending: [], replyingTo: null, messages: [] });
  connection.restart();
}

/**
 * Begin an interaction, and show until it is answered that it is not.
 * @param {string} title @param {string} what @param {Record<string, any>} details @param {string} [target]
 */
async function interact(title, what, details, target) {
  const one = wait({ channelId: state.channelId, title, target });
  try {
    const id = await connection.request(what, details);
    ours.add(id);
    named(one, id);
    const modal = early.get(id);
    if (modal) form(modal);
  } catch (error) {
    forget(one);
    throw error;
  }
}

/** @param {import("./types").Modal} modal */
function form(modal) {
  early.delete(modal.id);
  openForm(modal, (file) => connection.upload(file, state.channelId), async (answers) => {
    const id = await connection.request("submit", { interaction_id: modal.id, values: answers });
    const answered = await new Promise((resolve) => {
      awaited.set(id, resolve);
      setTimeout(resolve, ANSWER, true);
    });
    awaited.delete(id);
    if (!answered) throw new Error("Something went wrong: the application did not respond. Try again.");
  });
}

/** Show a sentence for a moment, where there is no better place. @param {unknown} error */
function tell(error) {
  const toast = byId("toast");
  toast.textContent = error instanceof Error ? error.message : String(error);
  toast.hidden = false;
  setTimeout(() => (toast.hidden = true), 6000);
}

/** @param {() => Promise<any>} act */
const trying = (act) => act().catch(tell);

/** @type {import("./threads.js").ThreadActs} */
const threadActs = {
  ask: (modal, submit) => openForm(modal, (file) => connection.upload(file, state.channelId), submit),
  request: (what, details) => connection.request(what, details),
  open: (channelId) => trying(() => open(channelId)),
  trying: (act) => void trying(act),
};

/** Send a message on to another channel. @param {Message} message @param {HTMLElement | MouseEvent} where */
function forward(message, where) {
  const send = (/** @type {string} */ to) => trying(() => connection.request("forward", { ...at(message), to_channel_id: to }));
  const items = state.channels.map((one) => ({ words: `${one.type === 1 ? "@" : "#"}${titleOf(one)}`, act: () => void send(one.id) }));
  openMenu([{ heading: "Forward to" }, ...items], where);
}

/** @param {Message} message */
const at = (message) => ({ channel_id: message.channel_id, message_id: message.id });

/** @type {import("./message.js").MessageActs} */
const acts = {
  press: (message, one, values) => {
    const details = { ...at(message), custom: one.custom_id, ...(values && { values }) };
    trying(() => interact(one.label ?? "", values ? "select" : "press", details, targetOf(message, one)));
  },
  view: viewPicture,
  react: (message, emoji, on) => trying(() => connection.request(on ? "react" : "unreact", { ...at(message), emoji })),
  pickEmoji: (message, where) => pickEmoji(where, (emoji) => acts.react(message, emoji, true)),
  reply: (message) => {
    state.replyingTo = message;
    changed();
    byId("composer-input").focus();
  },
  dismiss: (message) => trying(() => connection.request("dismiss", { message_id: message.id })),
  menu: (message, where) => openMenu(menuOf(message, where), where),
};

/** @param {Message} message @param {HTMLElement | MouseEvent} where @returns {import("./menus.js").Item[]} */
function menuOf(message, where) {
  const temporary = (message.flags & 64) !== 0;
  const apps = temporary ? [] : state.commands.filter((command) => command.type === MENU);
  const run = (/** @type {import("./types").Command} */ command) =>
    trying(() => interact(command.name, "menu", { ...at(message), command_id: command.id }));
  const own = message.author.id === state.me.id || manages();
  const address = `https://discord.com/channels/${channel()?.guild_id ?? "@me"}/${message.channel_id}/${message.id}`;
  /** @type {import("./menus.js").Item[]} */
  const items = [];
  if (apps.length) items.push({ heading: `Apps · ${nameOf(state.bot)}` }, ...apps.map((command) => ({ words: command.name, sign: "✦", act: () => run(command) })));
  items.push({ heading: "Message" });
  if (!temporary) {
    items.push({ words: "Add a reaction", sign: "☺", act: () => acts.pickEmoji(message, where instanceof HTMLElement ? where : spot(message)) });
    items.push({ words: "Reply", sign: "↩", act: () => acts.reply(message) });
    items.push({ words: "Forward", sign: "↱", act: () => forward(message, where instanceof HTMLElement ? where : spot(message)) });
    const here = channel();
    if (here?.guild_id && !isThread(here) && !(message.flags & HAS_THREAD)) items.push({ words: "Start a thread", sign: "↳", act: () => startThread(here, threadActs, message.id) });
    items.push({ words: "Copy its link", sign: "🔗", act: () => trying(() => navigator.clipboard.writeText(address)) });
  }
  items.push({ words: "Copy its text", sign: "⧉", act: () => trying(() => navigator.clipboard.writeText(message.content || excerpt(message))) });
  if (temporary) items.push({ words: "Dismiss message", sign: "✕", act: () => acts.dismiss(message) });
  else if (own) items.push({ words: "Delete message", sign: "🗑", danger: true, act: () => trying(() => connection.request("delete", at(message))) });
  return items;
}

/** @param {Message} message */
function spot(message) {
  return byId(`by-${message.id}`);
}

/** Follow a link to a message. @param {string} address "channel/message" */
async function jump(address) {
  const [channelId = "", id = ""] = address.split("/");
  if (!state.channels.some((one) => one.id === channelId)) return tell("That message is in a channel that you cannot see.");
  if (channelId !== state.channelId) await open(channelId);
  await new Promise(requestAnimationFrame);
  for (let tries = 0; tries < FAR; tries++) {
    if (messages.flash(id)) return;
    if (!state.older) break;
    await loadOlder();
    await Promise.resolve();
  }
  tell("That message is not there any more.");
}

function typing() {
  const left = state.typingUntil - Date.now();
  if (left > 0) setTimeout(changed, left);
  show(byId("typing"), left > 0 ? h("span", {}, h("span", { class: "dots", "aria-hidden": "true" }), `${nameOf(state.bot)} is typing…`) : null);
}

document.addEventListener("click", (event) => {
  const target = /** @type {HTMLElement} */ (event.target).closest?.("[data-jump], [data-channel], .spoiler");
  if (!(target instanceof HTMLElement)) return;
  if (target.dataset.jump) trying(() => jump(target.dataset.jump ?? ""));
  else if (target.dataset.channel) open(target.dataset.channel);
  else target.toggleAttribute("data-revealed");
});

byId("channel-menu").onclick = () => {
  const here = channel();
  if (here) openMenu(channelMenu(here, threadActs), byId("channel-menu"));
};

onChange(sidebar.start({ open, become }));
onChange(messages.start(acts, loadOlder));
onChange(typing);
onChange(
  composer.start({
    command: async (title, data) => {
      messages.toNewest();
      await interact(title, "command", { channel_id: state.channelId, command_id: data.id, options: data.options });
    },
    complete: (data) => connection.request("autocomplete", { channel_id: state.channelId, command_id: data.id, options: data.options }),
    say: async (content, uploads) => {
      const reply_to = state.replyingTo?.id;
      state.replyingTo = null;
      messages.toNewest();
      await connection.request("say", { channel_id: state.channelId, content, uploads, reply_to });
    },
    upload: (file) => connection.upload(file, state.channelId),
    typing: () => void connection.request("typing", { channel_id: state.channelId }).catch(() => null),
  }),
);
startCounting();
// The addresses of files are good for a day; a tab may be open for longer.
setInterval(() => messages.isAtNewest() && trying(load), REFRESH);
connection.connect();
