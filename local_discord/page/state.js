// What the page knows, and how events change it. Whoever shows something of it renders again on `changed`.

/** @typedef {import("./types").Message} Message */

const MANAGE_SERVER = 1n << 5n;
const nobody = /** @type {import("./types").User} */ ({ id: "0", username: "" });

export const state = {
  me: nobody,
  /** @type {import("./types").User[]} */
  people: [],
  bot: nobody,
  guild: { id: "0", name: "", roles: /** @type {import("./types").Role[]} */ ([]) },
  /** @type {import("./types").Channel[]} */
  channels: [],
  /** @type {import("./types").Command[]} */
  commands: [],
  uploadLimit: 0,
  /** Is the bot logged in? */
  online: false,
  /** @type {"closed" | "open" | "refused"} */
  connection: "closed",
  channelId: "",
  /** The messages of the open channel, oldest first. @type {Message[]} */
  messages: [],
  /** Are there older ones on the server? */
  older: false,
  /** @type {Message | null} */
  replyingTo: null,
  /** @type {import("./types").Pending[]} */
  pending: [],
  /** Until when the bot is typing in the open channel, in ms. */
  typingUntil: 0,
  /** @type {Set<string>} */
  unread: new Set(),
};

/** @type {Set<() => void>} */
const listeners = new Set();
let scheduled = false;

/** @param {() => void} listener */
export function onChange(listener) {
  listeners.add(listener);
}

/** Have everything rendered again, once, before the next paint (a tab in the background paints late, and is rendered all the same). */
export function changed() {
  if (scheduled) return;
  scheduled = true;
  queueMicrotask(() => {
    scheduled = false;
    for (const listener of listeners) listener();
  });
}

/** @returns {import("./types").Channel | undefined} */
export function channel() {
  return state.channels.find((one) => one.id === state.channelId);
}

/** Does this tab's person manage the server? */
export function manages() {
  return state.channels.some((one) => one.type !== 1 && (BigInt(one.permissions ?? 0) & MANAGE_SERVER) !== 0n);
}

/** May this tab's person do something in a channel? @param {import("./types").Channel} one @param {bigint} permission */
export function may(one, permission) {
  return (BigInt(one.permissions ?? 0) & permission) !== 0n;
}

/** @param {string} id @returns {import("./types").User | undefined} */
export function person(id) {
  return [state.bot, ...state.people].find((one) => one.id === id);
}

/** @param {import("./types").User} user */
export function nameOf(user) {
  return user.global_name || user.username;
}

/** @param {import("./types").Channel} one */
export function titleOf(one) {
  return one.type === 1 ? nameOf(state.bot) : (one.name ?? "");
}

/** @param {import("./types").Entered} data */
export function enter(data) {
  Object.assign(state, { me: data.me, people: data.people, bot: data.bot, channels: data.channels, online: data.online });
  state.guild = { roles: [], ...data.guild };
  state.uploadLimit = data.upload_limit;
  if (!channel()) state.channelId = data.channels[0]?.id ?? "";
  changed();
}

/** @param {Message[]} page @param {number} size */
export function fill(page, size) {
  state.messages = page;
  state.older = page.length >= size;
  changed();
}

/** @param {Message[]} page @param {number} size */
export function prepend(page, size) {
  const known = new Set(state.messages.map((message) => message.id));
  state.messages = [...page.filter((message) => !known.has(message.id)), ...state.messages];
  state.older = page.length >= size;
  changed();
}

/** @param {string} event @param {any} data */
export function apply(event, data) {
  reducers[event]?.(data);
  changed();
}

/** @type {Record<string, (data: any) => void>} */
const reducers = {
  MESSAGE_CREATE: (message) => put(message),
  MESSAGE_UPDATE: (message) => put(message, false),
  MESSAGE_DELETE: ({ id }) => {
    state.messages = state.messages.filter((message) => message.id !== id);
  },
  CHANNELS: (channels) => {
    state.channels = channels;
  },
  COMMANDS: (commands) => {
    state.commands = commands;
  },
  BOT_ONLINE: () => {
    state.online = true;
  },
  BOT_OFFLINE: () => {
    state.online = false;
  },
  TYPING_START: ({ channel_id, user_id }) => {
    if (channel_id === state.channelId && user_id === state.bot.id) state.typingUntil = Date.now() + 10_000;
  },
  INTERACTION_SUCCESS: ({ id }) => settle(id, true),
  INTERACTION_MODAL_CREATE: ({ id }) => settle(id, true),
  INTERACTION_FAILURE: ({ id }) => settle(id, false),
  MESSAGE_REACTION_ADD: (data) => reacted(data, true),
  MESSAGE_REACTION_REMOVE: (data) => reacted(data, false),
};

/** @param {Message} message */
function put(message, isNew = true) {
  if (message.channel_id !== state.channelId) {
    if (isNew) state.unread.add(message.channel_id);
    return;
  }
  const at = state.messages.findIndex((one) => one.id === message.id);
  if (at >= 0) state.messages[at] = message;
  else if (isNew) {
    const after = state.messages.findLastIndex((one) => BigInt(one.id) < BigInt(message.id));
    state.messages.splice(after + 1, 0, message);
  }
  if (isNew && message.author.id === state.bot.id) state.typingUntil = 0;
}

/** @param {{ message_id: string, user_id: string, emoji: import("./types").Emoji }} data @param {boolean} on */
function reacted({ message_id, user_id, emoji }, on) {
  const at = state.messages.findIndex((one) => one.id === message_id);
  const message = state.messages[at];
  if (!message) return;
  const mine = user_id === state.me.id;
  const before = message.reactions.find((one) => one.emoji.name === emoji.name) ?? { emoji, count: 0, me: false };
  if (mine && before.me === on) return; // told already, with the message
  const after = { ...before, count: before.count + (on ? 1 : -1), me: mine ? on : before.me };
  const others = message.reactions.includes(before) ? message.reactions.map((one) => (one === before ? after : one)) : [...message.reactions, after];
  state.messages[at] = { ...message, reactions: others.filter((one) => one.count > 0) };
}

/** What came of interactions, by their id; the news may be faster than the id. @type {Map<string, boolean>} */
const outcomes = new Map();

/** @param {string} id @param {boolean} answered */
function settle(id, answered) {
  outcomes.set(id, answered);
  if (outcomes.size > 200) outcomes.delete(/** @type {string} */ (outcomes.keys().next().value));
  const one = state.pending.find((pending) => pending.id === id);
  if (!one) return;
  if (answered) state.pending = state.pending.filter((pending) => pending !== one);
  else one.failed = true;
}

/** Note that somebody has asked the bot for something; `named` tells later as which interaction. @param {Omit<import("./types").Pending, "failed" | "id">} what */
export function wait(what) {
  /** @type {import("./types").Pending} */
  const one = { ...what, id: "", failed: false };
  state.pending = [...state.pending.filter((other) => !other.failed || other.target !== one.target || !one.target), one];
  changed();
  return one;
}

/** @param {import("./types").Pending} one @param {string} id */
export function named(one, id) {
  one.id = id;
  const outcome = outcomes.get(id);
  if (outcome !== undefined) settle(id, outcome);
  changed();
}

/** @param {import("./types").Pending} one */
export function forget(one) {
  state.pending = state.pending.filter((other) => other !== one);
  changed();
}
