import { ask, jobPath } from '../api.js';
import { h } from '../dom.js';

/** Cancel and redrive: what can be done about a job as it is. Cancelling is asked for twice, since nothing undoes it. */
export function jobActions(jobId, again) {
  const wrong = h('p', { class: 'wrong', role: 'alert' });
  const act = async (path, button) => {
    wrong.textContent = '';
    button.disabled = true;
    try {
      await ask(jobPath(jobId, path), { method: 'POST' });
      await again();
    } catch (error) {
      wrong.textContent = error.message;
      button.disabled = false;
    }
  };
  const sure = h('button', { type: 'button', class: 'danger', onclick: () => act('/cancel', sure) }, 'Cancel the job');
  const dialog = h(
    'dialog',
    { 'aria-labelledby': 'cancel-title' },
    h('h2', { id: 'cancel-title' }, 'Cancel this job?'),
    h('p', {}, 'What it has committed stays readable. It cannot be taken up again.'),
    h(
      'div',
      { class: 'row' },
      h('button', { type: 'button', class: 'quiet', onclick: () => dialog.close() }, 'Keep it'),
      sure,
    ),
  );
  const cancel = h(
    'button',
    { type: 'button', class: 'quiet', hidden: true, onclick: () => dialog.showModal() },
    'Cancel…',
  );
  const redrive = h(
    'button',
    { type: 'button', class: 'main', hidden: true, onclick: () => act('/redrive', redrive) },
    'Redrive',
  );
  const show = ({ status, cancelRequested }) => {
    cancel.hidden = cancelRequested || (status !== 'queued' && status !== 'running');
    redrive.hidden = status !== 'quarantined' && status !== 'expired';
  };
  return { element: h('div', { class: 'actions' }, cancel, redrive, wrong, dialog), show };
}
