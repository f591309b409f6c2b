import { ApiFailure, ask } from './api.js';
import { h } from './dom.js';
import { forgetKey, keepKey } from './key.js';

/** Asks for the API key, and tries it before it is kept. */
export async function keyView(root, { again }) {
  const field = h('input', {
    id: 'key',
    type: 'password',
    autocomplete: 'off',
    autocapitalize: 'off',
    spellcheck: 'false',
    required: true,
    'aria-describedby': 'key-hint key-wrong',
  });
  const wrong = h('p', { id: 'key-wrong', class: 'wrong', role: 'alert' });
  const button = h('button', { class: 'main' }, 'Open');
  const enter = async (event) => {
    event.preventDefault();
    wrong.textContent = '';
    button.disabled = true;
    // No header takes a character beyond these, and a key has none.
    const key = field.value.trim();
    try {
      if (!/^[\x21-\x7e]+$/.test(key)) throw new ApiFailure(400, null, 'an API key is letters, digits, _ and - alone');
      keepKey(key);
      await ask('v1/jobs?limit=1');
      await again();
    } catch (error) {
      forgetKey();
      wrong.textContent = error instanceof ApiFailure ? error.message : String(error);
      field.focus();
    } finally {
      button.disabled = false;
    }
  };
  root.append(
    h(
      'form',
      { class: 'card key', onsubmit: enter },
      h('h1', { tabindex: -1 }, 'API key'),
      h('label', { for: 'key' }, 'The key that your jobs belong to'),
      field,
      h('p', { id: 'key-hint', class: 'hint' }, 'It stays in this tab until the tab is closed.'),
      wrong,
      button,
    ),
  );
}
