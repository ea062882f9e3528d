// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Elements are made here and nowhere else. Data becomes text nodes and
// attribute values, never markup.

export const byId = (id) => document.getElementById(id);

// el makes an element. props are attributes, but for `on` (listeners by event
// name) and `value`, `checked`, `open`, `disabled`, `hidden` (properties).
// Children are nodes, texts, or arrays of them; null and undefined are left out.
export function el(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) {
        node.addEventListener(event, listener);
      }
    } else if (['value', 'checked', 'open', 'disabled', 'hidden'].includes(name)) {
      node[name] = value;
    } else if (value !== null && value !== undefined) {
      node.setAttribute(name, value);
    }
  }
  node.append(...children.flat(2).filter((c) => c !== null && c !== undefined));
  return node;
}

// button makes a button. key names it, so that the focus finds it again after
// its section was drawn anew; subject says for screen readers what it acts on.
export function button(label, key, action, look = '', subject = '') {
  return el('button', {
    type: 'button', class: look || null, 'data-key': key, 'aria-label': subject ? `${label} ${subject}` : null, on: { click: action },
  }, label);
}

const find = (key) => document.querySelector(`[data-key="${CSS.escape(key)}"]`);

// draw replaces what a section shows. If the focus was inside it stays on the
// control of the same key, or goes to the section's heading.
export function draw(section, ...children) {
  const focused = section.contains(document.activeElement) ? document.activeElement : null;
  section.replaceChildren(...children.flat().filter((c) => c !== null && c !== undefined));
  if (focused && !section.contains(focused)) {
    focusOn(focused.dataset.key, section);
  }
}

// focusOn moves the focus to the control with this key, or to the heading of
// the section if it has gone.
export function focusOn(key, section) {
  const candidates = [key && find(key), section?.querySelector('h2')];
  (candidates.find((c) => c?.getClientRects().length > 0) ?? byId('main')).focus();
}

// heading makes the head of a section: its name and what can be done there.
export function heading(id, title, ...actions) {
  return el('div', { class: 'head' }, el('h2', { id: `${id}-h`, tabindex: '-1' }, title), el('div', { class: 'actions' }, actions));
}

// facts makes a list of names and values; rows without a value are left out.
export function facts(rows) {
  return el('dl', { class: 'facts' }, rows.filter(Boolean).map(([name, ...value]) => [el('dt', null, name), el('dd', null, value)]));
}

// items makes a list of entries; a long one scrolls by itself.
export function items(entries) {
  return el('ul', { class: entries.length > 20 ? 'items long' : 'items' }, entries);
}

export const code = (text) => el('code', null, text);

// copyable is a value in monospace with a button that copies it.
export function copyable(value, what, key) {
  return el('div', { class: 'value' }, code(value), copyButton(value, what, key));
}

// copyButton is null where the browser offers no clipboard, as on plain HTTP of
// other machines.
export function copyButton(value, what, key) {
  return navigator.clipboard ? el('button', {
    type: 'button', class: 'quiet', 'data-key': key, 'aria-label': `Copy ${what}`,
    on: {
      click: async () => {
        try {
          await navigator.clipboard.writeText(value);
          say(`Copied: ${what}`);
        } catch {
          say(`The browser does not let this page copy. Select the ${what} instead.`);
        }
      },
    },
  }, 'Copy') : null;
}

let quiet;

// say tells what was done, for eyes and screen readers, for some seconds.
export function say(text) {
  const status = byId('status');
  status.textContent = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => { status.textContent = ''; }, 6000);
}
