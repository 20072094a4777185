// Message components, both generations of them, and what a picture, a film or a file looks like.

import { h } from "./dom.js";
import { markdown } from "./markdown.js";
import { nameOf, state, titleOf } from "./state.js";

/** @typedef {import("./types").Component} Component */
/** @typedef {import("./types").Message} Message */
/** @typedef {{ press: (message: Message, component: Component, values?: string[]) => void, view: (address: string, words: string) => void }} Acts */

const STYLES = ["", "primary", "secondary", "success", "danger", "link"];
const VIDEO = /^video\//;
const PICTURE = /^image\//;

/** @param {Message} message @param {Component} one @param {Acts} acts @returns {HTMLElement | null} */
export function component(message, one, acts) {
  return RENDERERS[one.type]?.(message, one, acts) ?? null;
}

/** @param {Message} message @param {Component[] | undefined} all @param {Acts} acts */
const each = (message, all, acts) => (all ?? []).map((one) => component(message, one, acts));

/** @type {Record<number, (message: Message, one: Component, acts: Acts) => HTMLElement | null>} */
const RENDERERS = {
  1: (message, one, acts) => h("div", { class: "row" }, each(message, one.components, acts)),
  2: button,
  3: select,
  5: select,
  6: select,
  7: select,
  8: select,
  9: (message, one, acts) =>
    h("div", { class: "section" }, h("div", {}, each(message, one.components, acts)), one.accessory ? component(message, one.accessory, acts) : null),
  10: (_, one) => h("div", { class: "text" }, ...markdown(one.content ?? "")),
  11: (message, one, acts) => h("div", { class: "thumbnail" }, media(message, one.media, one.description, !!one.spoiler, acts)),
  12: (message, one, acts) =>
    h("div", { class: `gallery of-${Math.min(one.items?.length ?? 1, 4)}` }, ...(one.items ?? []).map((item) => media(message, item.media, item.description, !!item.spoiler, acts))),
  13: (message, one) => file(one.name ?? one.file?.url.split("/").at(-1)?.split("?")[0] ?? "file", one.file?.url ?? "", one.size),
  14: (_, one) => h("hr", { class: one.divider === false ? "space" : "", "data-spacing": one.spacing ?? 1 }),
  17: (message, one, acts) => {
    const props = { class: one.accent_color == null ? "container" : "container accented", style: accent(one.accent_color), "data-spoiler-box": one.spoiler };
    return h("div", props, each(message, one.components, acts));
  },
};

/** @param {number | null | undefined} colour */
export function accent(colour) {
  return colour == null ? {} : { "--accent": `#${colour.toString(16).padStart(6, "0")}` };
}

/** @param {Message} message @param {Component} one @param {Acts} acts */
function button(message, one, acts) {
  const label = [one.emoji ? h("span", { class: "emoji", "aria-hidden": one.label ? "true" : null }, one.emoji.name) : null, one.label ?? ""];
  if (one.style === 5) return h("a", { class: "button link", href: one.url, target: "_blank", rel: "noopener noreferrer" }, ...label);
  const waits = state.pending.some((pending) => pending.target === targetOf(message, one) && !pending.failed);
  const props = { class: `button ${STYLES[one.style ?? 2]}`, type: "button", disabled: one.disabled, "data-key": one.custom_id, "aria-busy": waits ? "true" : null };
  return h("button", { ...props, onclick: () => waits || acts.press(message, one) }, ...label);
}

/** Which component of which message somebody waits for. @param {Message} message @param {Component} one */
export function targetOf(message, one) {
  return `${message.id} ${one.custom_id}`;
}

/** @param {Component} one @returns {import("./types").SelectOption[]} */
export function optionsOf(one) {
  const chosen = new Set((one.default_values ?? []).map((value) => value.id));
  const people = [state.bot, ...state.people].map((user) => ({ label: nameOf(user), value: user.id }));
  const roles = state.guild.roles.map((role) => ({ label: role.name, value: role.id }));
  const channels = state.channels
    .filter((other) => other.type !== 1 && (!one.channel_types?.length || one.channel_types.includes(other.type)))
    .map((other) => ({ label: `#${titleOf(other)}`, value: other.id }));
  /** @type {Record<number, import("./types").SelectOption[]>} */
  const all = { 3: one.options ?? [], 5: people, 6: roles, 7: [...people, ...roles], 8: channels };
  return (all[one.type] ?? []).map((option) => ({ ...option, default: option.default || chosen.has(option.value) }));
}

/** @param {Message} message @param {Component} one @param {Acts} acts */
function select(message, one, acts) {
  const options = optionsOf(one);
  const most = one.max_values ?? 1;
  const props = { class: "select", "data-key": one.custom_id, disabled: one.disabled, "aria-label": one.placeholder || "Choose" };
  if (most > 1) return several(message, one, options, acts);
  const onchange = (/** @type {Event} */ event) => {
    const { value } = /** @type {HTMLSelectElement} */ (event.target);
    acts.press(message, one, value ? [value] : []);
  };
  const chosen = options.some((option) => option.default);
  const none = h("option", { value: "", selected: !chosen, disabled: (one.min_values ?? 1) > 0 }, one.placeholder || "Choose…");
  return h("select", { ...props, onchange }, none, ...options.map((option) => h("option", { value: option.value, selected: option.default }, labelOf(option))));
}

/** @param {import("./types").SelectOption} option */
export function labelOf(option) {
  const words = `${option.emoji ? `${option.emoji.name} ` : ""}${option.label}`;
  return option.description ? `${words} · ${option.description}` : words;
}

/** A select of more than one: boxes to tick, sent together. @param {Message} message @param {Component} one @param {import("./types").SelectOption[]} options @param {Acts} acts */
function several(message, one, options, acts) {
  const boxes = options.map((option) => h("label", {}, h("input", { type: "checkbox", value: option.value, checked: option.default }), labelOf(option)));
  const send = (/** @type {Event} */ event) => {
    const list = /** @type {HTMLElement} */ (event.target).closest("details");
    const ticked = [...(list?.querySelectorAll("input") ?? [])].filter((box) => box.checked).map((box) => box.value);
    if (ticked.length < (one.min_values ?? 1) || ticked.length > (one.max_values ?? 1)) return;
    list?.removeAttribute("open");
    acts.press(message, one, ticked);
  };
  const words = `${one.placeholder || "Choose"} (${one.min_values ?? 1} to ${one.max_values})`;
  const done = h("button", { class: "button primary", type: "button", onclick: send }, "Done");
  return h("details", { class: "select several", "data-key": one.custom_id }, h("summary", {}, words), ...boxes, done);
}

/** @param {Message} message @param {import("./types").Media | undefined} what @param {string | null | undefined} words @param {boolean} hidden @param {Acts} acts */
function media(message, what, words, hidden, acts) {
  if (!what) return null;
  const attachment = message.attachments.find((one) => one.url === what.url);
  const kind = what.content_type ?? attachment?.content_type ?? guess(what.url);
  const size = { width: what.width ?? attachment?.width, height: what.height ?? attachment?.height };
  return shown(what.url, kind, words || attachment?.description || "", hidden, size, acts);
}

/** The path of what this very server keeps: by whichever address the page was opened, such as through a tunnel, it is there. @param {string} address */
function here(address) {
  const url = new URL(address, location.href);
  return url.pathname.startsWith("/cdn/") && /^(127\.0\.0\.1|localhost|\[::1\])$/.test(url.hostname) ? url.pathname + url.search : address;
}

/** @param {string} address */
function guess(address) {
  return /\.(mp4|webm|mov)(\?|$)/i.test(address) ? "video/mp4" : "image/png";
}

/**
 * A picture that opens full-size, or a film that plays.
 * @param {string} address @param {string} kind @param {string} words @param {boolean} hidden @param {{ width?: number | null, height?: number | null }} size @param {Acts} acts
 */
function shown(address, kind, words, hidden, size, acts) {
  const url = here(address);
  if (VIDEO.test(kind)) {
    const video = h("video", { src: url, controls: true, preload: "metadata", loop: true, playsinline: true, "aria-label": words || "A film", ...real(size) });
    return h("div", { class: "media film", "data-key": url }, video);
  }
  const picture = h("img", { src: url, alt: words, ...real(size), loading: "eager", decoding: "async" });
  const props = { class: "media", type: "button", "aria-label": `${words || "A picture"}; press to see it full-size`, onclick: opened };
  return hidden ? h("button", { ...props, class: "media veiled", "aria-label": "A hidden picture; press to show it" }, picture) : h("button", props, picture);

  /** @param {MouseEvent} event */
  function opened(event) {
    const button = /** @type {HTMLElement} */ (event.currentTarget);
    if (button.classList.contains("veiled") && button.dataset.revealed === undefined) button.dataset.revealed = "";
    else acts.view(url, words);
  }
}

/** @param {{ width?: number | null, height?: number | null }} size */
function real(size) {
  return size.width && size.height ? { width: size.width, height: size.height } : {};
}

/** @param {import("./types").Attachment} one @param {Acts} acts */
export function attachment(one, acts) {
  const kind = one.content_type ?? "";
  const visible = VIDEO.test(kind) || (PICTURE.test(kind) && kind !== "image/svg+xml");
  if (visible) return shown(one.url, kind, one.description ?? "", one.filename.startsWith("SPOILER_"), one, acts);
  return file(one.filename, one.url, one.size);
}

/** @param {string} name @param {string} address @param {number | undefined} size */
function file(name, address, size) {
  const words = size === undefined ? "" : ` · ${bytes(size)}`;
  return h("a", { class: "file", href: here(address), download: name }, h("span", { class: "emoji", "aria-hidden": "true" }, "📄"), name, h("small", {}, words));
}

/** @param {number} size */
export function bytes(size) {
  if (size < 1024) return `${size} bytes`;
  return size < 1024 ** 2 ? `${(size / 1024).toFixed(0)} KB` : `${(size / 1024 ** 2).toFixed(1)} MB`;
}

/** @param {Message} message @param {import("./types").Embed} one @param {Acts} acts */
export function embed(message, one, acts) {
  const fields = (one.fields ?? []).map((field) =>
    h("div", { class: field.inline ? "field inline" : "field" }, h("strong", {}, ...markdown(field.name)), h("div", {}, ...markdown(field.value))),
  );
  const title = one.title && (one.url ? h("a", { href: one.url, target: "_blank", rel: "noopener noreferrer" }, one.title) : one.title);
  return h(
    "div",
    { class: "container embed accented", style: accent(one.color ?? 0x80848e) },
    one.author && h("small", {}, one.author.name),
    title && h("h4", {}, title),
    one.description && h("div", { class: "text" }, ...markdown(one.description)),
    fields.length ? h("div", { class: "fields" }, fields) : null,
    one.thumbnail && h("div", { class: "thumbnail" }, media(message, one.thumbnail, "", false, acts)),
    one.image && media(message, one.image, "", false, acts),
    one.footer && h("small", { class: "subtext" }, one.footer.text),
  );
}
