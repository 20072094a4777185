// Threads: opening one, and what can be done with the one that is open.

import { may, nameOf, state } from "./state.js";

/** @typedef {import("./types").Channel} Channel */
/** @typedef {import("./types").Modal} Modal */
/** @typedef {import("./menus.js").Item} Item */
/** @typedef {{ ask: (modal: Modal, submit: (answers: Record<string, any>) => Promise<void>) => void, request: (what: string, details: Record<string, any>) => Promise<any>,
 *   open: (channelId: string) => void, trying: (act: () => Promise<any>) => void }} ThreadActs */

const MANAGE_THREADS = 1n << 34n;
const CREATE_PUBLIC = 1n << 35n;
const CREATE_PRIVATE = 1n << 36n;

/** @param {Channel | undefined} one */
export function isThread(one) {
  return one?.type === 11 || one?.type === 12;
}

/** Ask for a name, and open a thread in a channel. @param {Channel} here @param {ThreadActs} acts @param {string} [messageId] The message it starts from. */
export function startThread(here, acts, messageId) {
  const name = { type: 18, label: "Name", component: { type: 4, custom_id: "name", style: 1, max_length: 100 } };
  const hidden = { type: 18, label: "Only for those who are added, by a mention", component: { type: 23, custom_id: "private" } };
  const components = messageId || !may(here, CREATE_PRIVATE) ? [name] : [name, hidden];
  acts.ask({ id: "", custom_id: "thread", title: "Start a thread", components }, async (answers) => {
    const details = { channel_id: here.id, name: answers.name, private: answers.private === true, message_id: messageId };
    acts.open((await acts.request("start_thread", details)).id);
  });
}

/** What the open channel's menu offers. @param {Channel} here @param {ThreadActs} acts @returns {Item[]} */
export function channelMenu(here, acts) {
  if (!isThread(here)) return may(here, CREATE_PUBLIC) ? [{ heading: "Channel" }, { words: "Start a thread", sign: "↳", act: () => startThread(here, acts) }] : [];
  const { archived = false, locked = false } = here.thread_metadata ?? {};
  const manages = may(here, MANAGE_THREADS);
  const change = (/** @type {Record<string, boolean>} */ what) => acts.trying(() => acts.request("change_thread", { channel_id: here.id, ...what }));
  /** @type {Item[]} */
  const items = [{ heading: "Thread" }];
  if (manages || here.owner_id === state.me.id) items.push({ words: archived ? "Open it again" : "Archive", sign: archived ? "↥" : "▣", act: () => change({ archived: !archived }) });
  if (manages) items.push({ words: locked ? "Unlock" : "Lock", sign: "🔒", act: () => change({ locked: !locked }) });
  const others = [state.bot, ...state.people].filter((user) => user.id !== state.me.id);
  for (const user of others) items.push({ words: `Add ${nameOf(user)}`, sign: "+", act: () => acts.trying(() => acts.request("add_to_thread", { channel_id: here.id, other_id: user.id })) });
  if (here.member) items.push({ words: "Leave", sign: "←", act: () => acts.trying(() => acts.request("leave_thread", { channel_id: here.id })) });
  return items;
}
