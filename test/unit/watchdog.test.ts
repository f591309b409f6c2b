import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '@longhaul/core/contracts';
import { Watchdog } from '../../worker/watchdog.ts';

/** Each sleep takes as long as asked, and `lateMs` more; `steps` of them are taken, then none ends any more. */
function steppedClock(steps: number, lateMs = 0, onStep: (step: number) => void = () => {}): Clock {
  let now = 0;
  let step = 0;
  return {
    now: () => now,
    date: () => new Date(0),
    async sleep(ms) {
      if (step === steps) await new Promise(() => {});
      onStep(++step);
      now += ms + lateMs;
    },
  };
}

async function fires(clock: Clock, prepare: (watchdog: Watchdog) => void = () => {}): Promise<boolean> {
  const watchdog = new Watchdog(clock, 1000, 'job x');
  prepare(watchdog);
  const quiet = new Promise<'quiet'>((resolve) => setTimeout(() => resolve('quiet'), 50));
  const end = await Promise.race([watchdog.hung.catch(() => 'hung' as const), quiet]);
  watchdog.close();
  return end === 'hung';
}

test('the watchdog fires at its limit and not before', async () => {
  assert.equal(await fires(steppedClock(9)), false);
  assert.equal(await fires(steppedClock(10)), true);
});

test('time in which the process itself stood still is not held against the job', async () => {
  assert.equal(await fires(steppedClock(9, 3_600_000)), false);
});

test('a token that was read, and an answer that came, start it over', async () => {
  let tokens = 0;
  const reading = steppedClock(50, 0, (step) => {
    tokens = Math.floor(step / 9);
  });
  assert.equal(await fires(reading, (watchdog) => watchdog.follow(() => tokens)), false);
  let heard: Watchdog | null = null;
  const answered = steppedClock(50, 0, (step) => {
    if (step % 9 === 0) heard?.alive();
  });
  const listen = (watchdog: Watchdog) => {
    heard = watchdog;
  };
  assert.equal(await fires(answered, listen), false);
});
