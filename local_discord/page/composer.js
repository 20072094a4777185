// Where people write: messages, commands with their options, and files.

import { ATTACHMENT, interactionData, matching, meant, read, remaining, valuesFor } from "./commands.js";
import { bytes } from "./components.js";
import { byId, h, show } from "./dom.js";
import { excerpt } from "./message.js";
import { changed, channel, nameOf, state, titleOf } from "./state.js";

/** @typedef {import("./commands.js").Suggestion} Suggestion */
/** @typedef {import("./commands.js").Line} Line */
/** @typedef {import("./types").Choice} Choice */
/** @typedef {{ file: File, option: string }} Chosen A file, and the option it is for where somebody said so. */
/**
 * @typedef {object} ComposerActs
 * @property {(title: string, data: any) => Promise<void>} command
 * @property {(data: any) => Promise<Choice[]>} complete
 * @property {(content: string, uploads: string[]) => Promise<void>} say
 * @property {(file: File) => Promise<import("./types").Attachment>} upload
 * @property {() => void} typing
 */

const input = /** @type {HTMLTextAreaElement} */ (byId("composer-input"));
const popup = byId("suggestions");
const chooser = /** @type {HTMLInputElement} */ (byId("composer-file"));
const narrow = matchMedia("(max-width: 720px)"); // as in style.css
const TYPING_EVERY = 8000;

/** @type {Chosen[]} */
let files = [];
/** @type {Suggestion[]} */
let suggestions = [];
/** The one that Enter takes; -1: none, Enter sends. */
let picked = -1;
let closed = false;
/** What the bot has suggested, and for what. @type {{ asked: string, choices: Choice[] }} */
let completed = { asked: "", choices: [] };
/** @type {{ words: string, line: string } | null} */
let hint = null;
let notice = "";
let chooserOption = "";
let typedAt = 0;
/** @type {Map<string, string>} */
const drafts = new Map();
let draftChannel = "";
/** What is sent keeps its order. */
let sending = Promise.resolve();
/** @type {ComposerActs} */
let acts;

/** @param {ComposerActs} actions @returns {() => void} */
export function start(actions) {
  acts = actions;
  input.addEventListener("input", edited);
  input.addEventListener("keydown", key);
  input.addEventListener("click", refresh);
  input.addEventListener("keyup", (event) => /^(Arrow(Left|Right)|Home|End)$/.test(event.key) && refresh());
  input.addEventListener("focus", refresh);
  narrow.addEventListener("change", refresh);
  input.addEventListener("blur", () => setTimeout(() => popup.contains(document.activeElement) || refresh(), 100));
  input.addEventListener("paste", (event) => take(event, event.clipboardData));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => take(event, event.dataTransfer));
  byId("composer-attach").onclick = () => choose("");
  byId("composer-send").onclick = () => submit();
  chooser.onchange = () => {
    add([...(chooser.files ?? [])], chooserOption);
    chooser.value = "";
  };
  return render;
}

/** Put a line into the composer, such as an example that somebody has pressed. @param {string} text */
export function write(text) {
  input.value = text;
  input.focus();
  input.setSelectionRange(text.length, text.length);
  edited();
}

function edited() {
  [closed, picked, hint, notice] = [false, -1, null, ""];
  if (input.value && !input.value.startsWith("/") && Date.now() - typedAt > TYPING_EVERY) {
    typedAt = Date.now();
    acts.typing();
  }
  refresh();
}

function line() {
  return read(input.value, input.selectionStart ?? input.value.length);
}

/** Which file is for which option: those somebody said, then the rest in order. @param {Line} now @returns {Map<string, Chosen>} */
function filesOf(now) {
  const options = now.runnable.options.filter((option) => option.type === ATTACHMENT).map((option) => option.name);
  const found = new Map(files.filter((chosen) => options.includes(chosen.option)).map((chosen) => [chosen.option, chosen]));
  for (const chosen of files.filter((one) => !options.includes(one.option))) {
    const free = options.find((option) => !found.has(option));
    if (free) found.set(free, chosen);
  }
  return found;
}

/** Find out what to suggest, and ask the bot where it is the bot that knows. */
function refresh() {
  const text = input.value;
  const now = line();
  suggestions = [];
  if (document.activeElement === input && !closed && text.startsWith("/")) {
    if (!now || (text === `/${now.runnable.name}` && picked < 0)) suggestions = commandsFor(text);
    else suggestions = optionsFor(now);
  }
  const naming = text.startsWith("/") && (!now || text === `/${now.runnable.name}`);
  if (naming && suggestions.length && picked < 0) picked = 0;
  picked = Math.min(picked, suggestions.length - 1);
  render();
}

/** @param {string} text @returns {Suggestion[]} */
function commandsFor(text) {
  return matching(text.slice(1)).map((one) => ({ words: `/${one.name}`, detail: one.description, insert: `/${one.name} ` }));
}

/** @param {Line} now @returns {Suggestion[]} */
function optionsFor(now) {
  const values = now.current ? valuesFor(now.current, choicesFor(now)) : [];
  const word = input.value.slice(0, input.selectionStart ?? 0).match(/(?:^|\s)([\p{L}\p{N}_-]*)$/u)?.[1]?.toLowerCase() ?? "";
  const more = remaining(now, [...filesOf(now).keys()]).filter((option) => option !== now.current?.option);
  const begun = word ? more.filter((option) => option.name.startsWith(word)) : [];
  const rest = more.filter((option) => !begun.includes(option));
  const asOption = (/** @type {import("./types").Option} */ option) => ({ words: option.name, detail: `${option.description}${option.required ? " (needed)" : ""}`, option });
  // After a space the word at the caret is likelier the next option than more of this one's value.
  const goesOn = now.current?.raw.includes(" ") ? [...begun.map(asOption), ...values] : [...values, ...begun.map(asOption)];
  return [...goesOn, ...(values.length ? [] : rest.map(asOption))];
}

/** Return what the bot suggests for the option at the caret; ask it where that is not known yet. @param {Line} now @returns {Choice[]} */
function choicesFor(now) {
  const option = now.current?.option;
  if (!option?.autocomplete) return [];
  const { data } = interactionData(now, {}, option.name);
  const asked = JSON.stringify(data);
  if (completed.asked !== asked) {
    completed = { asked, choices: completed.choices };
    acts.complete(data).then(
      (choices) => {
        if (completed.asked !== asked) return;
        completed = { asked, choices };
        refresh();
      },
      () => null,
    );
  }
  return completed.choices;
}

/** @param {KeyboardEvent} event */
function key(event) {
  if (event.isComposing) return;
  const open = suggestions.length > 0;
  if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const step = event.key === "ArrowDown" ? 1 : -1;
    picked = picked < 0 && step < 0 ? suggestions.length - 1 : (picked + step + suggestions.length) % suggestions.length;
    render();
  } else if (open && event.key === "Tab" && !event.shiftKey) {
    accept(suggestions[Math.max(picked, 0)]);
  } else if (event.key === "Escape" && (open || state.replyingTo || hint)) {
    [closed, state.replyingTo, hint] = [true, open ? state.replyingTo : null, null];
    refresh();
  } else if (event.key === "Enter" && !event.shiftKey) {
    enter();
  } else return;
  event.preventDefault();
}

/** Enter takes what is marked, and else sends; a whole name that needs no options is sent at once. */
function enter() {
  const now = line();
  const whole = now && input.value.trim() === `/${now.runnable.name}`;
  if (whole && !now.runnable.options.some((option) => option.required)) submit();
  else if (picked >= 0 && suggestions[picked]) accept(suggestions[picked]);
  else submit();
}

/** @param {Suggestion | undefined} suggestion */
function accept(suggestion) {
  if (!suggestion) return;
  const now = line();
  const text = input.value;
  if (suggestion.option?.type === ATTACHMENT) return choose(suggestion.option.name);
  if (suggestion.option) {
    const caret = input.selectionStart ?? text.length;
    const before = text.slice(0, caret);
    const begun = before.match(/(^|\s)([\p{L}\p{N}_-]+)$/u);
    const kept = begun?.[2] && suggestion.option.name.startsWith(begun[2].toLowerCase()) ? before.slice(0, -begun[2].length) : before;
    set(`${kept.trimEnd()} ${suggestion.option.name}:`, text.slice(caret));
  } else if (now?.current && suggestion.insert !== undefined && text !== `/${now.runnable.name}`) {
    set(`${text.slice(0, now.current.start)}${suggestion.insert} `, text.slice(now.current.end).trimStart());
  } else {
    set(suggestion.insert ?? "", "");
  }
}

/** @param {string} before @param {string} after The caret stands between them. */
function set(before, after) {
  input.value = before + after;
  input.focus();
  input.setSelectionRange(before.length, before.length);
  edited();
}

/** @param {string} option */
function choose(option) {
  chooserOption = option;
  chooser.multiple = !option;
  chooser.click();
}

/** @param {Event} event @param {DataTransfer | null} from */
function take(event, from) {
  const dropped = [...(from?.files ?? [])];
  if (event.type === "drop") event.preventDefault();
  if (!dropped.length || /** @type {HTMLElement} */ (event.target).closest?.("dialog")) return;
  event.preventDefault();
  add(dropped, "");
}

/** @param {File[]} more @param {string} option */
function add(more, option) {
  const large = more.find((file) => file.size > state.uploadLimit);
  if (large) notice = `${large.name} has ${bytes(large.size)}; at most ${bytes(state.uploadLimit)} can be sent.`;
  else files = [...files.filter((chosen) => !option || chosen.option !== option), ...more.map((file) => ({ file, option }))];
  if (!large) notice = "";
  input.focus();
  refresh();
}

/** Send what is written: a command or a message. */
function submit() {
  const text = input.value;
  const now = line();
  if (!text.trim() && !files.length) return;
  if (now) return run(now, text);
  const command = meant(text.trim());
  if (text.startsWith("/")) {
    const nearest = matching(text.slice(1).split(/\s/)[0] ?? "")[0];
    hint = { words: `There is no command ${text.split(/\s/)[0]}. ${nearest ? `Did you mean /${nearest.name}?` : "Type / to see all of them."}`, line: command ?? (nearest ? `/${nearest.name} ` : "/") };
    return render();
  }
  if (command && hint?.line !== command) {
    hint = { words: "Commands begin with a slash. To send this as a message all the same, press Enter once more.", line: command };
    return render();
  }
  send(text, (uploads) => acts.say(text.trim(), uploads), files);
}

/** @param {Line} now @param {string} text */
function run(now, text) {
  const given = filesOf(now);
  const check = interactionData(now, Object.fromEntries([...given.keys()].map((name) => [name, "0"])));
  const stray = files.find((chosen) => ![...given.values()].includes(chosen));
  if (check.problem !== undefined || stray) {
    notice = check.problem ?? `/${now.runnable.name} does not take ${given.size ? "so many files" : "files"}.`;
    return render();
  }
  const names = [...given.keys()];
  send(
    text,
    (uploads) => {
      const { data, problem } = interactionData(now, Object.fromEntries(names.map((name, at) => [name, uploads[at] ?? ""])));
      if (problem !== undefined) throw new Error(problem);
      return acts.command(`/${now.runnable.name}`, data);
    },
    [...given.values()],
  );
}

/** Empty the composer and send; what is refused comes back into it. @param {string} text @param {(uploads: string[]) => Promise<void>} go @param {Chosen[]} attached */
function send(text, go, attached) {
  [input.value, files, hint, notice, picked] = ["", [], null, "", -1];
  refresh();
  sending = sending.then(async () => {
    try {
      const uploads = await Promise.all(attached.map((chosen) => acts.upload(chosen.file)));
      await go(uploads.map((upload) => upload.id));
    } catch (error) {
      if (!input.value) [input.value, files] = [text, attached];
      notice = error instanceof Error ? error.message : String(error);
      refresh();
    }
  });
}

function render() {
  const here = channel();
  if (state.channelId !== draftChannel) {
    drafts.set(draftChannel, input.value);
    input.value = drafts.get(state.channelId) ?? "";
    draftChannel = state.channelId;
  }
  input.placeholder = here ? invitation(`${here.type === 1 ? "@" : "#"}${titleOf(here)}`) : "";
  input.style.height = "auto";
  input.style.height = `${Math.min(input.scrollHeight, innerHeight / 3)}px`;
  const now = line();
  show(byId("composer-above"), replying(), chips(now), hinted(), notice ? h("p", { class: "notice", role: "alert" }, notice) : null);
  show(byId("composer-help"), ...help(now));
  renderSuggestions(now);
}

/** What may be typed here, in as many words as the width has room for. @param {string} where */
function invitation(where) {
  return narrow.matches ? "Message, or / for commands" : `Message ${where}, or / for commands`;
}

function replying() {
  if (!state.replyingTo) return null;
  const stop = () => {
    state.replyingTo = null;
    changed();
  };
  return h("p", { class: "replying" }, "Replying to ", h("strong", {}, nameOf(state.replyingTo.author)), `: ${excerpt(state.replyingTo).slice(0, 50)} `, h("button", { type: "button", class: "plain", "aria-label": "Do not reply", onclick: stop }, "✕"));
}

/** @param {Line | null} now */
function chips(now) {
  if (!files.length) return null;
  const names = new Map([...(now ? filesOf(now) : [])].map(([name, chosen]) => [chosen, name]));
  const chip = (/** @type {Chosen} */ chosen) => {
    const drop = () => {
      files = files.filter((one) => one !== chosen);
      refresh();
    };
    const name = names.get(chosen);
    return h("span", { class: "chip" }, name ? h("strong", {}, `${name}: `) : null, `${chosen.file.name} (${bytes(chosen.file.size)}) `, h("button", { type: "button", class: "plain", "aria-label": `Remove ${chosen.file.name}`, onclick: drop }, "✕"));
  };
  return h("div", { class: "chips" }, ...files.map(chip));
}

function hinted() {
  if (!hint) return null;
  const { words, line: suggested } = hint;
  return h("p", { class: "hint", role: "alert" }, "💡 ", words, " ", h("button", { type: "button", class: "button secondary", onclick: () => write(suggested) }, `Write ${suggested.slice(0, 40)}`));
}

/** Say what the command at hand does and what the option at the caret is. @param {Line | null} now @returns {import("./dom.js").Child[]} */
function help(now) {
  if (!now || document.activeElement !== input) return [];
  const option = now.current?.option;
  const given = new Set([...now.values.map((value) => value.option.name), ...filesOf(now).keys()]);
  const outline = now.runnable.options.filter((one) => one.required || given.has(one.name) || one === option);
  return [
    h("strong", {}, `/${now.runnable.name} `),
    ...outline.map((one) => h("span", { class: `outline ${one === option ? "current" : ""} ${given.has(one.name) ? "given" : ""}` }, one.name)),
    h("span", {}, option ? option.description : now.runnable.description),
  ];
}

/** @param {Line | null} now */
function renderSuggestions(now) {
  popup.hidden = suggestions.length === 0;
  input.setAttribute("aria-expanded", String(!popup.hidden));
  if (picked >= 0) input.setAttribute("aria-activedescendant", `suggestion-${picked}`);
  else input.removeAttribute("aria-activedescendant");
  const rows = suggestions.map((one, at) => {
    const props = { role: "option", id: `suggestion-${at}`, "aria-selected": String(at === picked), class: one.option ? "option" : "", onclick: () => accept(one), onpointerdown: (/** @type {Event} */ event) => event.preventDefault() };
    return h("div", props, h("strong", {}, one.words, one.option ? ":" : ""), h("span", {}, one.detail));
  });
  const heading = now && input.value !== `/${now.runnable.name}` ? "Tab or a click adds one; Enter sends" : "Commands";
  show(popup, rows.length ? h("p", { class: "menu-heading", "data-key": "heading" }, heading) : null, ...rows);
  if (picked >= 0) document.getElementById(`suggestion-${picked}`)?.scrollIntoView({ block: "nearest" });
}

