// One message as elements.

import { attachment, component, embed } from "./components.js";
import { h } from "./dom.js";
import { markdown } from "./markdown.js";
import { nameOf, person, state, titleOf } from "./state.js";
import { sentAt } from "./time.js";

/** @typedef {import("./types").Message} Message */
/**
 * @typedef {import("./components.js").Acts & {
 *   react: (message: Message, emoji: string, on: boolean) => void, pickEmoji: (message: Message, at: HTMLElement) => void, reply: (message: Message) => void,
 *   menu: (message: Message, at: HTMLElement | MouseEvent) => void, dismiss: (message: Message) => void,
 * }} MessageActs
 */

const HAS_THREAD = 1 << 5;
const EPHEMERAL = 1 << 6;
const LOADING = 1 << 7;
const COMPONENTS_V2 = 1 << 15;
const SOON = 7 * 60_000;

/** @param {Message} message */
export function isEphemeral(message) {
  return (message.flags & EPHEMERAL) !== 0;
}

/** Does a message go on without a new heading? @param {Message} message @param {Message | undefined} before */
export function continues(message, before) {
  if (!before || message.interaction_metadata?.name || message.message_reference || before.author.id !== message.author.id) return false;
  return isEphemeral(message) === isEphemeral(before) && Date.parse(message.timestamp) - Date.parse(before.timestamp) < SOON;
}

/** @param {Message} message @param {boolean} short Without a heading. @param {MessageActs} acts @returns {HTMLElement} */
export function article(message, short, acts) {
  const mine = (message.mentions ?? []).some((user) => user.id === state.me.id);
  const kinds = ["message", short && "short", isEphemeral(message) && "ephemeral", mine && "mentions-me"].filter(Boolean).join(" ");
  const props = { class: kinds, "data-key": message.id, id: `message-${message.id}`, tabindex: "-1", "aria-labelledby": `by-${message.id}` };
  return h(
    "article",
    { ...props, oncontextmenu: (/** @type {MouseEvent} */ event) => openMenu(event, message, acts) },
    above(message),
    short ? null : avatar(message.author),
    heading(message, short),
    body(message, acts),
    reactions(message, acts),
    failure(message),
    threadOf(message),
    isEphemeral(message) && h("p", { class: "aside" }, "👁 Only you can see this · ", h("button", { type: "button", class: "plain", onclick: () => acts.dismiss(message) }, "Dismiss message")),
    tools(message, acts),
  );
}

/** The person's own menu stays for links, fields and chosen text. @param {MouseEvent} event @param {Message} message @param {MessageActs} acts */
function openMenu(event, message, acts) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.closest("a, input, textarea, select") || getSelection()?.toString()) return;
  event.preventDefault();
  acts.menu(message, event);
}

/** @param {import("./types").User} user */
export function avatar(user) {
  const tone = Number(BigInt(user.id) % 6n);
  return h("span", { class: `avatar tone-${tone}`, "aria-hidden": "true" }, (nameOf(user)[0] ?? "?").toUpperCase());
}

/** @param {Message} message */
function above(message) {
  const metadata = message.interaction_metadata;
  if (metadata?.name) {
    const user = person(metadata.user.id) ?? metadata.user;
    return h("div", { class: "above" }, avatar(user), h("strong", {}, nameOf(user)), " used ", h("span", { class: "mention" }, commandName(metadata.name)));
  }
  const reference = message.message_reference;
  if (!reference || reference.type === 1) return null;
  const other = message.referenced_message;
  if (!other) return h("div", { class: "above" }, "↱ ", h("em", {}, "The original message was deleted"));
  const words = h("button", { class: "plain", type: "button", "data-jump": `${reference.channel_id}/${reference.message_id}` }, excerpt(other));
  return h("div", { class: "above" }, "↱ ", avatar(other.author), h("strong", {}, nameOf(other.author)), " ", words);
}

/** A command's name as people read it: the menus' have no slash. @param {string} name */
function commandName(name) {
  const menu = state.commands.some((command) => command.type !== 1 && command.name === name);
  return menu ? name : `/${name}`;
}

/** The first words of a message. @param {Message} message */
export function excerpt(message) {
  const words = [message.content, ...texts(message.components)].join(" ").replace(/[#*_`|~]|-# /g, "").trim();
  return words.slice(0, 90) || (message.attachments.length ? "A file" : "A message");
}

/** @param {import("./types").Component[]} components @returns {string[]} */
function texts(components) {
  return components.flatMap((one) => [one.content ?? "", ...texts(one.components ?? [])]);
}

/** @param {Message} message @param {boolean} short */
function heading(message, short) {
  const at = h("time", { datetime: message.timestamp, title: new Date(message.timestamp).toLocaleString() }, sentAt(message.timestamp));
  const tag = message.author.bot && h("span", { class: "tag" }, "APP");
  return h("header", { id: `by-${message.id}`, class: short ? "hidden" : "" }, h("strong", {}, nameOf(message.author)), tag, " ", at);
}

/** @param {Message} message @param {MessageActs} acts */
function body(message, acts) {
  if (message.flags & LOADING) return h("div", { class: "body" }, h("p", { class: "thinking" }, h("span", { class: "dots", "aria-hidden": "true" }), `${nameOf(message.author)} is thinking…`));
  const forwarded = message.message_snapshots?.[0];
  if (forwarded) return h("blockquote", { class: "body" }, h("small", { class: "subtext" }, "↱ Forwarded", ...origin(message)), ...parts({ ...message, ...forwarded.message, message_snapshots: undefined }, acts));
  return h("div", { class: "body" }, ...parts(message, acts));
}

/** Where a forwarded message came from, if one sees that channel. @param {Message} message */
function origin(message) {
  const reference = message.message_reference;
  const from = state.channels.find((one) => one.id === reference?.channel_id);
  if (!reference || !from) return [];
  return [" from ", h("button", { type: "button", class: "jump", "data-jump": `${reference.channel_id}/${reference.message_id}` }, `${from.type === 1 ? "@" : "#"}${titleOf(from)}`)];
}

/** @param {Message} message @param {MessageActs} acts */
function parts(message, acts) {
  const apart = message.flags & COMPONENTS_V2 ? [] : message.attachments;
  // What is written in components carries no mark; nor does an answer that came after "is thinking": the server says so.
  const edited = message.edited_timestamp && message.content ? h("small", { class: "edited" }, " (edited)") : null;
  return [
    message.content ? h("div", { class: "text" }, ...markdown(message.content), edited) : null,
    apart.length ? h("div", { class: "attachments" }, ...apart.map((one) => attachment(one, acts))) : null,
    ...message.embeds.map((one) => embed(message, one, acts)),
    ...message.components.map((one) => component(message, one, acts)),
  ];
}

/** @param {Message} message @param {MessageActs} acts */
function reactions(message, acts) {
  if (!message.reactions.length) return null;
  const chips = message.reactions.map((reaction) => {
    const words = `${reaction.emoji.name}, ${reaction.count} of them${reaction.me ? ", one of them yours" : ""}`;
    const props = { class: "reaction", type: "button", "aria-label": words, "aria-pressed": String(reaction.me), "data-key": reaction.emoji.name };
    return h("button", { ...props, onclick: () => acts.react(message, reaction.emoji.name, !reaction.me) }, h("span", { class: "emoji" }, reaction.emoji.name), ` ${reaction.count}`);
  });
  return h("div", { class: "reactions" }, ...chips);
}

/** The way to the thread that starts from a message, which has the message's id. @param {Message} message */
function threadOf(message) {
  const thread = message.flags & HAS_THREAD ? state.channels.find((one) => one.id === message.id) : undefined;
  return thread ? h("button", { type: "button", class: "jump", "data-channel": thread.id }, `↳ ${thread.name}`) : null;
}

/** @param {Message} message */
function failure(message) {
  const failed = state.pending.find((one) => one.failed && one.target?.startsWith(`${message.id} `));
  return failed && h("p", { class: "failed", role: "alert" }, "⚠ This interaction failed. The application did not respond.");
}

/** @param {Message} message @param {MessageActs} acts */
function tools(message, acts) {
  const tool = (/** @type {string} */ sign, /** @type {string} */ words, /** @type {(at: HTMLElement) => void} */ act) =>
    h("button", { type: "button", class: "tool", title: words, "aria-label": words, onclick: (/** @type {MouseEvent} */ event) => act(/** @type {HTMLElement} */ (event.currentTarget)) }, sign);
  const all = [tool("☺", "Add a reaction", (at) => acts.pickEmoji(message, at)), tool("↩", "Reply", () => acts.reply(message)), tool("⋯", "More, such as Apps", (at) => acts.menu(message, at))];
  return h("div", { class: "tools" }, ...(isEphemeral(message) ? all.slice(2) : all));
}


