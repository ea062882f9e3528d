// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import { el, focusOn } from './dom.js';

let count = 0;

// field makes a labelled control for a form. The hint is read with it.
export function field(label, control, hint) {
  count += 1;
  control.id ||= `field-${count}`;
  const parts = [el('label', { for: control.id }, label), control];
  if (hint) {
    const id = `${control.id}-hint`;
    control.setAttribute('aria-describedby', id);
    parts.push(el('p', { class: 'hint', id }, hint));
  }
  return el('div', { class: 'field' }, parts);
}

// text makes an input for names of machines: nothing is completed or corrected.
export function text(props) {
  return el('input', { type: 'text', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', ...props });
}

export function check(label, props) {
  const input = el('input', { type: 'checkbox', ...props });
  return { input, label: el('label', { class: 'choice' }, input, label) };
}

// ask opens a dialog with a form. submit does the work; while it runs the form
// waits, and what it throws is shown in the dialog, which then stays open. Esc
// and Cancel close it. The focus returns to the control that opened it.
export function ask({ title, action, danger, body, submit }) {
  count += 1;
  const opener = document.activeElement;
  const section = opener?.closest('section');
  const problem = el('p', { class: 'message bad', role: 'alert' });
  const cancel = el('button', { type: 'button' }, 'Cancel');
  const go = el('button', { type: 'submit', class: danger ? 'primary danger' : 'primary' }, action);
  const form = el('form', null, body, problem, el('div', { class: 'actions' }, cancel, go));
  const id = `dialog-${count}`;
  const dialog = el('dialog', { 'aria-labelledby': id }, el('h2', { id }, title), form);

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (go.disabled) {
      return;
    }
    go.disabled = true;
    problem.textContent = '';
    try {
      await submit();
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
      go.disabled = false;
      go.focus();
    }
  });
  cancel.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (opener?.getClientRects().length > 0) {
      opener.focus();
    } else { // it was drawn anew, or has gone
      focusOn(opener?.dataset.key, section);
    }
  });
  document.body.append(dialog);
  // The first control gets the focus: a field, or Cancel where there is none, so
  // that Return alone deletes nothing.
  dialog.showModal();
}

// confirm asks before something is deleted.
export function confirm(title, explanation, action, submit) {
  ask({ title, action, danger: true, body: el('p', null, explanation), submit });
}
