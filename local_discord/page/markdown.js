// Discord's markdown as elements. Text only ever becomes text nodes: nothing that somebody writes is read as HTML.

import { h } from "./dom.js";
import { nameOf, person, state, titleOf } from "./state.js";
import { written } from "./time.js";

/** @typedef {(string | Node)[]} Inline */

const FENCE = /```(?:[a-z0-9_+-]*\n)?([\s\S]+?)```\n?/i;

/** Render whole text: headings, lists, quotes, code and lines. @param {string} text @returns {Node[]} */
export function markdown(text) {
  // Every other piece is what stood inside a fence.
  return text.split(FENCE).flatMap((piece, at) => (at % 2 ? [h("pre", {}, h("code", {}, piece.replace(/\n$/, "")))] : lines(piece.replace(/\n$/, ""))));
}

/** @param {string} text @returns {Node[]} */
function lines(text) {
  if (!text) return [];
  /** @type {Node[]} */
  const blocks = [];
  const all = text.split("\n");
  for (let at = 0; at < all.length; at++) {
    const line = all[at] ?? "";
    const taken = (/** @type {RegExp} */ pattern) => {
      const found = [];
      for (let match; at < all.length && (match = (all[at] ?? "").match(pattern)); at++) found.push(match);
      at--;
      return found;
    };
    const heading = line.match(/^(#{1,3}) +(\S.*)/);
    if (heading) blocks.push(h(`h${(heading[1] ?? "").length + 2}`, {}, ...inline(heading[2] ?? "")));
    else if (/^-# /.test(line)) blocks.push(h("small", { class: "subtext" }, ...inline(line.slice(3))));
    else if (/^> /.test(line)) blocks.push(h("blockquote", {}, ...markdown(taken(/^> ?(.*)/).map((match) => match[1]).join("\n"))));
    else if (/^ *[-*] /.test(line)) blocks.push(h("ul", {}, ...taken(/^ *[-*] (.*)/).map((match) => h("li", {}, ...inline(match[1] ?? "")))));
    else if (/^\d+\. /.test(line)) {
      const first = Number.parseInt(line, 10);
      blocks.push(h("ol", { start: first }, ...taken(/^\d+\. (.*)/).map((match) => h("li", {}, ...inline(match[1] ?? "")))));
    } else blocks.push(h("p", {}, ...(line ? inline(line) : [h("br")])));
  }
  return blocks;
}

/** What may stand inside a line; the first that matches earliest wins. @type {[RegExp, (match: RegExpMatchArray) => string | Node | Inline][]} */
const INLINE = [
  [/\\([^A-Za-z0-9\s])/, (match) => match[1] ?? ""],
  [/``([^`]|[^`][\s\S]*?[^`])``|`([^`]+)`/, (match) => h("code", {}, match[1] ?? match[2])],
  [/\|\|([\s\S]+?)\|\|/, (match) => spoiler(...inline(match[1] ?? ""))],
  [/\*\*\*(\S[\s\S]*?)\*\*\*/, (match) => h("em", {}, h("strong", {}, ...inline(match[1] ?? "")))],
  [/\*\*(\S[\s\S]*?)\*\*(?!\*)/, (match) => h("strong", {}, ...inline(match[1] ?? ""))],
  [/__(\S[\s\S]*?)__/, (match) => h("u", {}, ...inline(match[1] ?? ""))],
  [/~~(\S[\s\S]*?)~~/, (match) => h("s", {}, ...inline(match[1] ?? ""))],
  [/\*([^\s*](?:[^*]*[^\s*])?)\*|(?<!\w)_([^\s_](?:[^_]*[^\s_])?)_(?!\w)/, (match) => h("em", {}, ...inline(match[1] ?? match[2] ?? ""))],
  [/\[([^\]\n]+)\]\(<?(https?:\/\/[^\s)>]+)>?\)/, (match) => link(match[2] ?? "", inline(match[1] ?? ""))],
  [/<(https?:\/\/[^\s>]+)>|(https?:\/\/[^\s<>]*[^\s<>.,:;"')\]])/, (match) => link(match[1] ?? match[2] ?? "", [match[1] ?? match[2] ?? ""])],
  [/<t:(-?\d{1,13})(?::([tTdDfFR]))?>/, (match) => moment(Number(match[1]), match[2] ?? "f")],
  [/<@!?(\d+)>/, (match) => mention(`@${name(match[1] ?? "")}`)],
  [/<@&(\d+)>/, (match) => mention(`@${(state.guild.roles.find((role) => role.id === match[1])?.name ?? "a role").replace(/^@/, "")}`)],
  [/<#(\d+)>/, (match) => channelMention(match[1] ?? "")],
  [/<\/([\w -]+):\d+>/, (match) => mention(`/${match[1]}`)],
  [/<a?:(\w+):\d+>/, (match) => `:${match[1]}:`],
];

/** Render what stands inside one line. @param {string} text @returns {Inline} */
export function inline(text) {
  /** @type {Inline} */
  const parts = [];
  let rest = text;
  while (rest) {
    let best = /** @type {RegExpMatchArray | null} */ (null);
    let make = /** @type {((match: RegExpMatchArray) => string | Node | Inline) | null} */ (null);
    for (const [pattern, maker] of INLINE) {
      const match = rest.match(pattern);
      if (match && (best === null || (match.index ?? 0) < (best.index ?? 0))) [best, make] = [match, maker];
    }
    if (!best || !make) break;
    const made = make(best);
    parts.push(rest.slice(0, best.index), ...(Array.isArray(made) ? made : [made]));
    rest = rest.slice((best.index ?? 0) + best[0].length);
  }
  parts.push(rest);
  return parts.filter((part) => part !== "");
}

/** @param {string} id */
function name(id) {
  const found = person(id);
  return found ? nameOf(found) : "somebody";
}

/** @param {string} text */
function mention(text) {
  return h("span", { class: "mention" }, text);
}

/** @param {string} id */
function channelMention(id) {
  const found = state.channels.find((one) => one.id === id);
  return h("button", { class: "mention", "data-channel": id, type: "button" }, found ? `#${titleOf(found)}` : "#no-access");
}

/** @param {number} seconds @param {string} style */
function moment(seconds, style) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "";
  const props = { datetime: date.toISOString(), "data-style": style, "data-seconds": seconds, title: written(seconds, "F") };
  return h("time", props, written(seconds, style));
}

/** A link; one to a message of this server jumps there. @param {string} address @param {Inline} words */
function link(address, words) {
  const message = address.match(/^https:\/\/(?:\w+\.)?discord(?:app)?\.com\/channels\/(?:\d+|@me)\/(\d+)\/(\d+)$/);
  if (message) return h("button", { class: "jump", type: "button", "data-jump": `${message[1]}/${message[2]}` }, ...words);
  return h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, ...words);
}

/** Words that are hidden until somebody asks for them. @param {Inline} words */
function spoiler(...words) {
  const props = { class: "spoiler", type: "button", "aria-label": "Spoiler; press to show", "data-spoiler": true };
  return h("button", props, h("span", {}, ...words));
}
