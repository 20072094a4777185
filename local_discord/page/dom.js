// Elements are made anew from what is known, and `morph` changes the shown ones into them: focus, selection, open menus and running videos stay.

/** @typedef {Node | string | number | null | undefined | false} Child */

const HANDLERS = /** @type {const} */ (["onclick", "onchange", "oninput", "onkeydown", "oncontextmenu", "onpointerdown"]);
/** Attributes that belong to the person at the page, not to what is rendered. */
const KEPT = new Set(["open", "data-revealed"]);

/**
 * Make an element. Properties that start with "on" are handlers, `true` is an attribute without a value, null and false are left out.
 * @param {string} tag @param {Record<string, any>} [props] @param {...(Child | Child[])} children @returns {HTMLElement}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) /** @type {any} */ (element)[name] = value;
    else if (name === "style") for (const [key, part] of Object.entries(value)) element.style.setProperty(key, part);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

/** @param {(Child | Child[])[]} children @returns {(Node | string)[]} */
function nodes(children) {
  /** @type {(Node | string)[]} */
  const found = [];
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) found.push(child instanceof Node ? child : String(child));
  }
  return found;
}

/** Look up an element of the page's own HTML. @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`there is no #${id}`);
  return found;
}

/** Make `parent` show `children`, touching only what differs. @param {Element} parent @param {(Child | Child[])[]} children */
export function show(parent, ...children) {
  morphChildren(parent, nodes(children).map((child) => (typeof child === "string" ? document.createTextNode(child) : child)));
}

/** Change `old` into `next` in place where both are of one kind, else replace it. @param {ChildNode} old @param {Node} next */
export function morph(old, next) {
  if (old === next) return;
  if (old instanceof Text && next instanceof Text) {
    if (old.data !== next.data) old.data = next.data;
  } else if (old instanceof HTMLElement && next instanceof HTMLElement && old.nodeName === next.nodeName && keyOf(old) === keyOf(next)) {
    morphAttributes(old, next);
    for (const name of HANDLERS) old[name] = /** @type {any} */ (next)[name];
    morphChildren(old, [...next.childNodes]);
  } else {
    old.replaceWith(next);
  }
}

/** @param {HTMLElement} old @param {HTMLElement} next */
function morphAttributes(old, next) {
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !KEPT.has(name) && name !== "style") old.removeAttribute(name);
  }
  for (const { name, value } of [...next.attributes]) {
    if (name === "style" || old.getAttribute(name) === value) continue;
    if (name === "src" && old instanceof HTMLImageElement) changePicture(old, value);
    else old.setAttribute(name, value);
  }
  if (old.style.cssText !== next.style.cssText) old.style.cssText = next.style.cssText;
}

/** Show another picture once it is there, and the present one until then. @param {HTMLImageElement} image @param {string} address */
function changePicture(image, address) {
  if (image.dataset.coming === address) return;
  image.dataset.coming = address;
  const next = new Image();
  next.onload = next.onerror = () => {
    if (image.dataset.coming === address) image.src = address;
  };
  next.src = address;
}

/** @param {Node} node */
function keyOf(node) {
  return node instanceof HTMLElement ? node.dataset.key || node.id : "";
}

/** @param {Element} parent @param {Node[]} next */
function morphChildren(parent, next) {
  /** @type {Map<string, ChildNode>} */
  const keyed = new Map();
  for (const child of parent.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  const wanted = new Set(next.map(keyOf).filter(Boolean));
  /** @type {ChildNode | null} */
  let cursor = parent.firstChild;
  for (const child of next) {
    while (cursor && keyOf(cursor) && !wanted.has(keyOf(cursor))) cursor = remove(cursor);
    const key = keyOf(child);
    const same = key ? keyed.get(key) : cursor && !keyOf(cursor) && cursor.nodeName === child.nodeName ? cursor : undefined;
    if (!same) {
      parent.insertBefore(child, cursor);
      continue;
    }
    if (same === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(same, cursor);
    morph(same, child);
  }
  while (cursor) cursor = remove(cursor);
}

/** @param {ChildNode} node @returns {ChildNode | null} */
function remove(node) {
  const after = node.nextSibling;
  node.remove();
  return after;
}
