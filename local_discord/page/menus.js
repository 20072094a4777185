// What opens beside something: menus, the emoji picker, the full-size picture.

import { byId, h, show } from "./dom.js";

/** @typedef {{ words: string, sign?: string, act: () => void, danger?: boolean, heading?: undefined, checked?: boolean } | { heading: string }} Item */

/** Signs with the words they are found by; the first row is what applications often seed. */
const EMOJI =
  "🔁 again repeat rerun|🔂 same seed repeat|🎲 dice vary random|⬆️ up refine larger|🎞️ film timelapse|✉️ send letter mail|❌ no stop delete|👍 yes good|❤️ heart love|😂 laugh tears|" +
  "👎 bad|🔥 fire|🎉 party|😍 love eyes|😮 wow|😢 sad cry|😡 angry|🤔 think|👏 clap|🙏 thanks please|👀 eyes look|✅ done check|⭐ star|✨ sparkles|💯 hundred|🚀 rocket|🎨 art paint|🖌️ brush|" +
  "🖼️ picture|📷 camera|🌈 rainbow|☀️ sun|🌙 moon|🌊 wave sea|🌲 tree|🌸 blossom flower|🍎 apple|🍕 pizza|☕ coffee|🐱 cat|🐶 dog|🦊 fox|🐟 fish|🦋 butterfly|🏠 house|⛵ boat|🗼 tower lighthouse|" +
  "⏹️ stop|⏸️ pause|▶️ play|⬅️ left|➡️ right|⬇️ down|🔄 turn|❓ question|❗ exclamation|💡 idea|🧭 compass steer|🗑️ bin delete|📌 pin|🎁 gift|🐛 bug|💤 sleep";

const menu = byId("menu");
/** @type {HTMLElement | null} */
let opener = null;

// Not the browser's own closing: where a menu opens as the button goes down, that takes the button's coming up for a click beside it.
document.addEventListener("pointerdown", (event) => {
  if (isOpen() && !menu.contains(/** @type {Node} */ (event.target))) close();
});
menu.addEventListener("keydown", (event) => {
  if (event.key === "Escape" || event.key === "Tab") {
    event.preventDefault();
    close();
    opener?.focus({ preventScroll: true });
  }
  const items = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("button")]);
  const steps = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 };
  const step = steps[/** @type {keyof typeof steps} */ (event.key)];
  const typing = document.activeElement instanceof HTMLInputElement && !["ArrowDown", "ArrowUp"].includes(event.key);
  if (!step || !items.length || typing) return;
  event.preventDefault();
  const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  items[(at + step + items.length) % items.length]?.focus();
});

/** @param {HTMLElement | MouseEvent} at */
function open(at) {
  opener = /** @type {HTMLElement | null} */ (document.activeElement);
  if (!isOpen()) menu.showPopover();
  const box = at instanceof HTMLElement ? at.getBoundingClientRect() : { left: at.clientX, right: at.clientX, top: at.clientY, bottom: at.clientY };
  const { width, height } = menu.getBoundingClientRect();
  const below = box.bottom + 4 + height < innerHeight;
  menu.style.left = `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, below ? box.bottom + 4 : box.top - height - 4)}px`;
}

function isOpen() {
  return menu.matches(":popover-open");
}

function close() {
  if (isOpen()) menu.hidePopover();
}

/** @param {Item[]} items @param {HTMLElement | MouseEvent} at */
export function openMenu(items, at) {
  menu.className = "menu";
  menu.setAttribute("role", "menu");
  show(menu, ...items.map((item, number) => (item.heading === undefined ? entry(item, number) : h("p", { class: "menu-heading", "data-key": `heading ${item.heading}` }, item.heading))));
  open(at);
  menu.querySelector("button")?.focus();
}

/** @param {Exclude<Item, { heading: string }>} item @param {number} number */
function entry(item, number) {
  const act = () => {
    close();
    opener?.focus({ preventScroll: true });
    item.act();
  };
  const role = item.checked === undefined ? "menuitem" : "menuitemradio";
  const props = { type: "button", role, class: item.danger ? "danger-text" : "", "data-key": `${number} ${item.words}`, "aria-checked": item.checked };
  return h("button", { ...props, onclick: act }, h("span", { class: "sign", "aria-hidden": "true" }, item.sign ?? (item.checked ? "●" : "")), item.words);
}

/** @param {HTMLElement | MouseEvent} at @param {(emoji: string) => void} choose */
export function pickEmoji(at, choose) {
  menu.className = "menu picker";
  menu.setAttribute("role", "dialog");
  menu.setAttribute("aria-label", "Choose an emoji");
  const pick = (/** @type {string} */ emoji) => {
    close();
    opener?.focus({ preventScroll: true });
    choose(emoji);
  };
  const grid = h("div", { class: "grid" });
  const fill = (/** @type {string} */ wanted) => {
    const found = EMOJI.split("|").filter((one) => one.includes(wanted.trim().toLowerCase()));
    const own = /\p{Extended_Pictographic}/u.test(wanted) ? [wanted.trim()] : [];
    const signs = [...own, ...found.map((one) => one.split(" ")[0] ?? "")];
    grid.replaceChildren(...signs.map((sign, number) => h("button", { type: "button", "aria-label": found[number - own.length] ?? sign, onclick: () => pick(sign) }, sign)));
  };
  const oninput = (/** @type {Event} */ event) => fill(/** @type {HTMLInputElement} */ (event.target).value);
  const onkeydown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter") grid.querySelector("button")?.click();
  };
  const field = h("input", { type: "text", placeholder: "Find an emoji, or type one", "aria-label": "Find an emoji, or type one", oninput, onkeydown });
  fill("");
  menu.replaceChildren(field, grid);
  open(at);
  field.focus();
}

/** Show a picture as large as it is, or as the window. @param {string} address @param {string} words */
export function viewPicture(address, words) {
  const viewer = /** @type {HTMLDialogElement} */ (byId("viewer"));
  const picture = h("img", { src: address, alt: words });
  const full = h("a", { href: address, target: "_blank", rel: "noopener" }, "Open in a tab of its own");
  const leave = h("button", { type: "button", class: "tool", "aria-label": "Close", onclick: () => viewer.close() }, "✕");
  viewer.replaceChildren(h("figure", {}, picture, h("figcaption", {}, h("span", {}, words), full)), leave);
  viewer.onclick = (event) => {
    if (event.target === viewer || /** @type {HTMLElement} */ (event.target).matches("figure")) viewer.close();
  };
  viewer.showModal();
}
