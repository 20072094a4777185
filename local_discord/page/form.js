// Modals: the forms that an application opens.

import { labelOf, optionsOf } from "./components.js";
import { byId, h } from "./dom.js";
import { markdown } from "./markdown.js";

/** @typedef {import("./types").Component} Component */
/** @typedef {string | string[] | boolean} Answer */
/** @typedef {{ element: HTMLElement, custom_id: string, read: () => Answer | Promise<Answer>, problem: () => string }} Field */
/** @typedef {(file: File) => Promise<import("./types").Attachment>} Upload */

const dialog = /** @type {HTMLDialogElement} */ (byId("form"));

/**
 * Open a form; `submit` gets the answers by custom_id, and the form closes once it is done.
 * @param {import("./types").Modal} modal @param {Upload} upload @param {(answers: Record<string, Answer>) => Promise<void>} submit
 */
export function openForm(modal, upload, submit) {
  /** @type {Field[]} */
  const fields = [];
  const rows = modal.components.map((one) => row(one, upload, fields));
  const said = h("p", { class: "failed", role: "alert" });
  const send = h("button", { class: "button primary" }, "Submit");
  const cancel = h("button", { type: "button", class: "button secondary", onclick: () => dialog.close() }, "Cancel");
  const form = /** @type {HTMLFormElement} */ (h("form", { novalidate: true }, h("h2", { id: "form-title" }, modal.title), ...rows, said, h("footer", {}, cancel, send)));
  form.onsubmit = async (event) => {
    event.preventDefault();
    const wrong = fields.find((field) => field.problem());
    for (const field of fields) field.element.classList.toggle("wrong", field === wrong);
    said.textContent = wrong?.problem() ?? "";
    if (wrong) return /** @type {HTMLElement | null} */ (wrong.element.querySelector("input, textarea, select"))?.focus();
    send.setAttribute("disabled", "");
    try {
      /** @type {Record<string, Answer>} */
      const answers = {};
      for (const field of fields) answers[field.custom_id] = await field.read();
      await submit(answers);
      dialog.close();
    } catch (error) {
      said.textContent = error instanceof Error ? error.message : String(error);
    }
    send.removeAttribute("disabled");
  };
  // Ctrl+Enter sends, as a plain Enter is a new line in long answers.
  form.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  };
  dialog.replaceChildren(form);
  if (!dialog.open) dialog.showModal();
}

/** @param {Component} one @param {Upload} upload @param {Field[]} fields @returns {Node} */
function row(one, upload, fields) {
  if (one.type === 10) return h("div", { class: "text" }, ...markdown(one.content ?? ""));
  if (one.type === 1) return h("div", {}, ...(one.components ?? []).map((inner) => row({ ...inner, type: 18, label: inner.label, component: inner }, upload, fields)));
  const inner = one.component;
  const make = inner && MAKERS[inner.type];
  if (!inner || !make) return h("p", {}, "This part of the form is of a kind that the page does not know.");
  const field = make(inner, one.label ?? "", upload);
  fields.push(field);
  const group = inner.type === 21 || inner.type === 22;
  if (inner.type === 23) return h("div", { class: "field" }, h("label", { class: "tick" }, field.element, h("span", {}, one.label ?? "", one.description ? h("small", {}, one.description) : null)));
  const words = [one.label ?? "", required(inner) ? h("span", { class: "star", title: "Needed" }, " *") : ""];
  const hint = one.description ? h("small", { id: `hint-${inner.custom_id}` }, one.description) : null;
  if (one.description) field.element.querySelector("input, textarea, select")?.setAttribute("aria-describedby", `hint-${inner.custom_id}`);
  return group
    ? h("fieldset", { class: "field" }, h("legend", {}, ...words), hint, field.element)
    : h("div", { class: "field" }, h("label", { for: `field-${inner.custom_id}` }, ...words), hint, field.element);
}

/** @param {Component} one */
function required(one) {
  return one.type !== 23 && one.required !== false;
}

/** @type {Record<number, (one: Component, label: string, upload: Upload) => Field>} */
const MAKERS = { 3: choice, 4: text, 5: choice, 6: choice, 7: choice, 8: choice, 19: files, 21: radio, 22: boxes, 23: box };

/** @param {Component} one @param {string} label @returns {Field} */
function text(one, label) {
  const props = { id: `field-${one.custom_id}`, placeholder: one.placeholder, maxlength: one.max_length ?? 4000, required: required(one) };
  const input = /** @type {HTMLInputElement | HTMLTextAreaElement} */ (one.style === 2 ? h("textarea", { ...props, rows: 4 }) : h("input", { ...props, type: "text", autocomplete: "off" }));
  input.value = one.value ?? "";
  const problem = () => {
    const { length } = input.value;
    if (!length) return required(one) ? `${label} is needed.` : "";
    return length < (one.min_length ?? 0) ? `${label} takes at least ${one.min_length} characters.` : "";
  };
  return { element: h("div", {}, input), custom_id: one.custom_id ?? "", read: () => input.value, problem };
}

/** @param {Component} one @param {string} label @returns {Field} */
function choice(one, label) {
  const options = optionsOf(one);
  if ((one.max_values ?? 1) > 1) return ticks(one, label, options, "checkbox");
  const chosen = options.find((option) => option.default);
  const none = h("option", { value: "", selected: !chosen }, one.placeholder || "Choose…");
  const select = /** @type {HTMLSelectElement} */ (
    h("select", { id: `field-${one.custom_id}` }, none, ...options.map((option) => h("option", { value: option.value, selected: option === chosen }, labelOf(option))))
  );
  const read = () => (select.value ? [select.value] : []);
  return { element: h("div", {}, select), custom_id: one.custom_id ?? "", read, problem: () => (required(one) && !select.value ? `${label} is needed.` : "") };
}

/** @param {Component} one @param {string} label @param {import("./types").SelectOption[]} options @param {"radio" | "checkbox"} type @returns {Field} */
function ticks(one, label, options, type) {
  const inputs = options.map((option) => /** @type {HTMLInputElement} */ (h("input", { type, name: one.custom_id, value: option.value, checked: option.default })));
  const rows = options.map((option, at) => h("label", { class: "tick" }, inputs[at], h("span", {}, option.label, option.description ? h("small", {}, option.description) : null)));
  const read = () => inputs.filter((input) => input.checked).map((input) => input.value);
  const problem = () => {
    const { length } = read();
    const least = required(one) ? (one.min_values ?? 1) : 0;
    const most = type === "radio" ? 1 : (one.max_values ?? options.length);
    if (length < least) return `${label}: choose ${least === 1 ? "one" : `at least ${least}`}.`;
    return length > most ? `${label}: choose at most ${most}.` : "";
  };
  return { element: h("div", { id: `field-${one.custom_id}` }, ...rows), custom_id: one.custom_id ?? "", read, problem };
}

/** @param {Component} one @param {string} label @returns {Field} */
function radio(one, label) {
  const field = ticks(one, label, one.options ?? [], "radio");
  return { ...field, read: () => /** @type {string[]} */ (field.read())[0] ?? "" };
}

/** @param {Component} one @param {string} label @returns {Field} */
function boxes(one, label) {
  return ticks(one, label, one.options ?? [], "checkbox");
}

/** @param {Component} one @returns {Field} */
function box(one) {
  const input = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", id: `field-${one.custom_id}`, checked: one.default }));
  return { element: h("div", {}, input), custom_id: one.custom_id ?? "", read: () => input.checked, problem: () => "" };
}

/** @param {Component} one @param {string} label @param {Upload} upload @returns {Field} */
function files(one, label, upload) {
  const most = one.max_values ?? 1;
  const input = /** @type {HTMLInputElement} */ (h("input", { type: "file", id: `field-${one.custom_id}`, multiple: most > 1 }));
  const read = async () => (await Promise.all([...(input.files ?? [])].map(upload))).map((attachment) => attachment.id);
  const problem = () => {
    const count = input.files?.length ?? 0;
    const least = required(one) ? (one.min_values ?? 1) : 0;
    if (count < least) return `${label}: choose ${least === 1 ? "a file" : `at least ${least} files`}.`;
    return count > most ? `${label}: at most ${most} ${most === 1 ? "file" : "files"}.` : "";
  };
  return { element: h("div", {}, input), custom_id: one.custom_id ?? "", read, problem };
}
