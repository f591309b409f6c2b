import { count } from '../format.js';

/**
 * The marks of a time line as people tell them. A job that is taken while another worker had it was taken over: that
 * worker was lost. Each is `{ kind, at, epoch, tokens, outputCount, text }`, `kind` one of taken, takeover, commit,
 * preempted, fallback, redriven, ended, submitted.
 */
export function happeningsOf({ createdAt, marks }) {
  const told = [
    { kind: 'submitted', at: Date.parse(createdAt), epoch: 0, tokens: 0, outputCount: 0, text: 'Submitted' },
  ];
  let holder = null;
  for (const mark of marks) {
    const tokens = `${count(mark.tokenOffset)} tokens`;
    const put = (kind, text) =>
      told.push({
        kind,
        at: Date.parse(mark.at),
        epoch: mark.epoch,
        tokens: mark.tokenOffset,
        outputCount: mark.outputCount,
        text,
      });
    switch (mark.kind) {
      case 'taken':
        if (holder === null) put('taken', `Taken by ${mark.owner}, attempt ${mark.epoch}`);
        else
          put(
            'takeover',
            `Taken over by ${mark.owner}, attempt ${mark.epoch}: ${holder} was lost, going on from ${tokens}`,
          );
        holder = mark.owner;
        break;
      case 'commit':
        put('commit', `Committed ${tokens}`);
        break;
      case 'released':
        put('preempted', `Handed back by ${holder ?? 'its worker'} at ${tokens}: preempted or drained`);
        holder = null;
        break;
      case 'fallback':
        put('fallback', `Went back to ${tokens}: a checkpoint could not be used`);
        break;
      case 'redriven':
        put('redriven', `Redriven from ${tokens}`);
        holder = null;
        break;
      case 'ended':
        put('ended', `Ended: ${mark.status}`);
        holder = null;
        break;
    }
  }
  return told;
}

/** The spans in which a worker held the job: `{ from, to, epoch, lost }`; `to` is null while one holds it. */
export function tenuresOf(told) {
  const spans = [];
  let open = null;
  const close = (at, lost) => {
    if (open !== null) spans.push({ ...open, to: at, lost });
    open = null;
  };
  for (const { kind, at, epoch } of told) {
    if (kind === 'taken' || kind === 'takeover') {
      close(at, true);
      open = { from: at, epoch };
    } else if (kind === 'preempted' || kind === 'ended' || kind === 'redriven') close(at, false);
  }
  if (open !== null) spans.push({ ...open, to: null, lost: false });
  return spans;
}
