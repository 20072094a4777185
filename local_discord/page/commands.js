// What a typed line means: which command, which options, what is missing. Nothing here touches the document.

import { nameOf, state, titleOf } from "./state.js";

/** @typedef {import("./types").Option} Option */
/** @typedef {import("./types").Runnable} Runnable */
/** @typedef {{ option: Option, raw: string, start: number, end: number }} Value What was typed for an option, and where. */
/** @typedef {{ runnable: Runnable, values: Value[], current: Value | null }} Line */

export const ATTACHMENT = 11;
const SUBCOMMAND = 1;
const GROUP = 2;
const CHAT_INPUT = 1;

/** List what can be typed: subcommands as "admin pause". @returns {Runnable[]} */
export function runnables() {
  return state.commands.filter((command) => command.type === CHAT_INPUT).flatMap((command) => unfold(command, command, []));
}

/** @param {import("./types").Command} command @param {import("./types").Command | Option} level @param {Option[]} path @returns {Runnable[]} */
function unfold(command, level, path) {
  const inner = (level.options ?? []).filter((option) => option.type === SUBCOMMAND || option.type === GROUP);
  if (inner.length) return inner.flatMap((option) => unfold(command, option, [...path, option]));
  const name = [command, ...path].map((part) => part.name).join(" ");
  return [{ command, path, name, description: level.description, options: level.options ?? [] }];
}

/** Find the commands that a beginning may mean, the likeliest first. @param {string} typed Without the slash. */
export function matching(typed) {
  const wanted = typed.toLowerCase().trimStart();
  /** @param {Runnable} one */
  const rank = (one) => {
    if (one.name.startsWith(wanted)) return 0;
    if (one.name.split(" ").some((word) => word.startsWith(wanted))) return 1;
    return one.name.includes(wanted) ? 2 : one.description.toLowerCase().includes(wanted) ? 3 : 4;
  };
  return runnables().map((one) => ({ one, rank: rank(one) })).filter((found) => found.rank < 4).sort((a, b) => a.rank - b.rank).map((found) => found.one);
}

/** Find the command that a whole line names. @param {string} text @returns {Runnable | undefined} */
export function named(text) {
  const words = text.replace(/^\//, "").toLowerCase();
  const found = runnables().filter((one) => words === one.name || (words.startsWith(one.name) && /\s/.test(words[one.name.length] ?? "")));
  return found.sort((a, b) => b.name.length - a.name.length)[0];
}

/**
 * Read a line such as `/imagine a red apple size:128x128`. Words before the first `option:` belong to the first option that takes words.
 * @param {string} text @param {number} caret @returns {Line | null} null where no command is named yet
 */
export function read(text, caret) {
  const runnable = text.startsWith("/") ? named(text) : undefined;
  if (!runnable) return null;
  const start = 1 + runnable.name.length;
  const marks = [...text.matchAll(/(?<=^|\s)([\p{L}\p{N}_-]+):/gu)].flatMap((match) => {
    const option = runnable.options.find((one) => one.name === match[1]?.toLowerCase() && one.type !== ATTACHMENT);
    return option && match.index >= start ? [{ option, at: match.index, from: match.index + match[0].length }] : [];
  });
  const seen = marks.filter((mark, at) => marks.findIndex((one) => one.option === mark.option) === at);
  /** @type {Value[]} */
  const values = [];
  const first = seen[0]?.at ?? text.length;
  const free = takesFreeWords(runnable, seen.map((mark) => mark.option));
  if (free && (text.slice(start, first).trim() || caret <= first)) values.push(slice(text, free, start, first));
  seen.forEach((mark, at) => values.push(slice(text, mark.option, mark.from, seen[at + 1]?.at ?? text.length)));
  const current = values.findLast((value) => value.start <= caret) ?? null;
  return { runnable, values: values.filter((value) => value.raw || value.option !== free), current: caret < start ? null : current };
}

/** @param {string} text @param {Option} option @param {number} start @param {number} end @returns {Value} */
function slice(text, option, start, end) {
  const piece = text.slice(start, end);
  const lead = piece.length - piece.trimStart().length;
  return { option, raw: piece.trim(), start: start + lead, end: start + lead + piece.trim().length };
}

/** @param {Runnable} runnable @param {Option[]} given */
function takesFreeWords(runnable, given) {
  const open = runnable.options.filter((option) => option.type !== ATTACHMENT && !given.includes(option));
  return open.find((option) => option.required) ?? open[0];
}

/** List what may still be added. @param {Line} line @param {string[]} files Names of the options that have a file. @returns {Option[]} */
export function remaining(line, files) {
  const given = new Set([...line.values.map((value) => value.option.name), ...files]);
  return line.runnable.options.filter((option) => !given.has(option.name));
}

/**
 * Make what Discord's clients send for a command; a sentence where that cannot be done yet.
 * @param {Line} line @param {Record<string, string>} files The ids of uploads by option. @param {string} [focused] The option that suggestions are wanted for.
 * @returns {{ data: any, problem?: undefined } | { data?: undefined, problem: string }}
 */
export function interactionData(line, files, focused) {
  /** @type {any[]} */
  const options = [];
  for (const option of line.runnable.options) {
    const typed = line.values.find((value) => value.option === option);
    const raw = option.type === ATTACHMENT ? files[option.name] : typed?.raw;
    if (option.name === focused) {
      options.push({ name: option.name, type: option.type, value: raw ?? "", focused: true });
    } else if (raw) {
      const { value, problem } = convert(option, raw);
      if (problem !== undefined && !focused) return { problem };
      if (problem === undefined) options.push({ name: option.name, type: option.type, value });
    } else if (option.required && !focused) {
      return { problem: `${option.name} is missing: ${lower(option.description)}.` };
    }
  }
  const { command, path } = line.runnable;
  const nested = path.reduceRight((inner, part) => [{ name: part.name, type: part.type, options: inner }], options);
  return { data: { id: command.id, name: command.name, type: command.type, options: nested } };
}

/** @param {string} text */
function lower(text) {
  return text.charAt(0).toLowerCase() + text.slice(1).replace(/\.$/, "");
}

/** @param {Option} option @param {string} raw @returns {{ value?: any, problem?: string }} */
export function convert(option, raw) {
  if (option.choices?.length) return chosen(option, raw);
  return (CONVERTERS[option.type] ?? asText)(option, raw);
}

/** @param {Option} option @param {string} raw */
function chosen(option, raw) {
  const wanted = raw.toLowerCase();
  const choices = option.choices ?? [];
  const exact = choices.find((choice) => choice.name.toLowerCase() === wanted || String(choice.value).toLowerCase() === wanted);
  const begins = choices.filter((choice) => choice.name.toLowerCase().startsWith(wanted));
  const found = exact ?? (begins.length === 1 ? begins[0] : undefined);
  return found ? { value: found.value } : { problem: `${option.name} is one of ${choices.map((choice) => choice.name).join(", ")}.` };
}

/** @param {Option} option @param {string} raw */
function asText(option, raw) {
  if (raw.length > (option.max_length ?? 6000)) return { problem: `${option.name} has at most ${option.max_length} characters; this has ${raw.length}.` };
  if (raw.length < (option.min_length ?? 0)) return { problem: `${option.name} has at least ${option.min_length} characters.` };
  return { value: raw };
}

/** @param {Option} option @param {string} raw */
function asNumber(option, raw) {
  const text = option.type === 10 ? raw.replace(",", ".") : raw;
  const { min_value: least = -(2 ** 53), max_value: most = 2 ** 53 } = option;
  const fits = (option.type === 10 ? /^-?\d*\.?\d+$/ : /^-?\d+$/).test(text) && Number(text) >= least && Number(text) <= most;
  const range = option.min_value === undefined && option.max_value === undefined ? "" : ` from ${least} to ${most}`;
  return fits ? { value: Number(text) } : { problem: `${option.name} is a ${option.type === 10 ? "" : "whole "}number${range}; “${raw}” is not.` };
}

/** @param {Option} option @param {string} raw @param {{ id: string, name: string }[]} among @param {string} kind */
function asOneOf(option, raw, among, kind) {
  const wanted = raw.replace(/^<?[@#&!]*|>$/g, "").toLowerCase();
  const found = among.find((one) => one.id === wanted || one.name.replace(/^[@#]/, "").toLowerCase() === wanted);
  return found ? { value: found.id } : { problem: `${option.name} is ${kind}, such as ${among[0]?.name ?? "none here"}.` };
}

/** Who or what an option of a type can name. @param {number} type @returns {{ id: string, name: string }[]} */
export function nameable(type) {
  const people = [...state.people, state.bot].map((user) => ({ id: user.id, name: `@${nameOf(user)}` }));
  const roles = state.guild.roles.map((role) => ({ id: role.id, name: `@${role.name.replace(/^@/, "")}` }));
  const channels = state.channels.filter((one) => one.type !== 1).map((one) => ({ id: one.id, name: `#${titleOf(one)}` }));
  /** @type {Record<number, { id: string, name: string }[]>} */
  const all = { 6: people, 7: channels, 8: roles, 9: [...people, ...roles] };
  return all[type] ?? [];
}

/** @type {Record<number, (option: Option, raw: string) => { value?: any, problem?: string }>} */
const CONVERTERS = {
  3: asText,
  4: asNumber,
  5: (option, raw) => {
    const no = /^(false|no|off|0)$/i.test(raw);
    return no || /^(true|yes|on|1)$/i.test(raw) ? { value: !no } : { problem: `${option.name} is True or False.` };
  },
  6: (option, raw) => asOneOf(option, raw, nameable(6), "a person"),
  7: (option, raw) => asOneOf(option, raw, nameable(7), "a channel"),
  8: (option, raw) => asOneOf(option, raw, nameable(8), "a role"),
  9: (option, raw) => asOneOf(option, raw, nameable(9), "a person or a role"),
  10: asNumber,
  11: (_, raw) => ({ value: raw }),
};

/** @typedef {{ words: string, detail: string, insert?: string, option?: Option }} Suggestion `insert` replaces what stands at the caret; `option` is added. */

/** Suggest values for the option at the caret. @param {Value} value @param {import("./types").Choice[]} completed What the bot suggests. @returns {Suggestion[]} */
export function valuesFor(value, completed) {
  const { option, raw } = value;
  const wanted = raw.toLowerCase().replace(/^[@#]/, "");
  const fits = (/** @type {string} */ name) => name.toLowerCase().includes(wanted);
  if (option.autocomplete) {
    const done = completed.some((choice) => String(choice.value) === raw);
    return done ? [] : completed.map((choice) => ({ words: choice.name, detail: option.name, insert: String(choice.value) }));
  }
  const names = option.choices?.map((choice) => choice.name) ?? (option.type === 5 ? ["True", "False"] : nameable(option.type).map((one) => one.name));
  const exact = names.some((name) => name.toLowerCase() === raw.toLowerCase());
  return (exact ? [] : names.filter(fits)).slice(0, 25).map((name) => ({ words: name, detail: option.name, insert: name }));
}

/** What somebody may have meant by a line that runs nothing, such as `imagine a cat` or `!imagine a cat`. @param {string} text @returns {string | null} The line as a command. */
export function meant(text) {
  const bare = text.replace(/^[!.\\?/-]+\s*/, "");
  const found = named(`/${bare}`);
  if (!found || (found.options.some((option) => option.required) && bare.length === found.name.length)) return null;
  // "show me" or "help, please" are things that people say: without a sign in front only what needs words counts.
  const sign = bare !== text;
  return sign || (found.options.some((option) => option.required && option.type === 3) && bare.length > found.name.length) ? `/${bare}` : null;
}
