import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { StopMatcher } from '../../worker/tasks/stop-matcher.ts';

const run = (stops: string[], pieces: string[]) => {
  const matcher = new StopMatcher(stops);
  let out = '';
  for (const piece of pieces) {
    out += matcher.push(piece);
    if (matcher.stopped) return { out, stopped: true };
  }
  return { out: out + matcher.flush(), stopped: false };
};

test('text before the first stop string is given out, nothing of the stop string is', () => {
  assert.deepEqual(run(['\n\n'], ['one\n', 'two\n', '\nthree']), { out: 'one\ntwo', stopped: true });
  assert.deepEqual(run(['END', 'E.'], ['an E', 'N', 'E.x']), { out: 'an EN', stopped: true });
});

test('text that only looked like a stop string is given out in the end', () => {
  assert.deepEqual(run(['stop'], ['sto', 'ne st', 'o']), { out: 'stone sto', stopped: false });
});

test('how the text is cut into pieces does not matter', () => {
  const letters = fc.constantFrom('a', 'b', 'c');
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: letters, minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
      fc.array(fc.string({ unit: letters, maxLength: 5 }), { maxLength: 12 }),
      (stops, pieces) => {
        const whole = pieces.join('');
        const cuts = stops.map((s) => whole.indexOf(s)).filter((i) => i >= 0);
        const expected = cuts.length === 0 ? whole : whole.slice(0, Math.min(...cuts));
        // A longer stop that begins earlier may still be open when a shorter one is complete: the earliest end wins.
        const { out, stopped } = run(stops, pieces);
        assert.equal(stopped, cuts.length > 0);
        if (stops.every((s) => s.length === stops[0]!.length)) assert.equal(out, expected);
        else assert.ok(whole.startsWith(out));
      },
    ),
  );
});
