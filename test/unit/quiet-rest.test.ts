import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, systemClock } from '@longhaul/core/contracts';
import { QuietRest } from '../../infra/controller/rest.ts';

const signal = new AbortController().signal;

function world() {
  let now = 0;
  let rings = 0;
  let away = false;
  let ringAt = Number.POSITIVE_INFINITY;
  const clock: Clock = {
    ...systemClock,
    now: () => now,
    sleep: async (ms) => {
      now += ms;
      if (now >= ringAt) {
        rings += 1;
        ringAt = Number.POSITIVE_INFINITY;
      }
    },
  };
  const rung = async () => {
    if (away) throw new Error('connection refused');
    return String(rings);
  };
  return {
    rest: new QuietRest({ clock, busyMs: 1000, quietMs: 30_000, rung }),
    now: () => now,
    ringAt: (ms: number) => {
      ringAt = ms;
    },
    ringNow: () => void rings++,
    leave: () => {
      away = true;
    },
  };
}

test('with something to do a loop rests a moment, without it long', async () => {
  const { rest, now } = world();
  await rest.listen();
  await rest.rest(true, signal);
  assert.equal(now(), 1000);
  await rest.rest(false, signal);
  assert.equal(now(), 31_000);
});

test('a ring ends the rest, also one that came while the loop looked', async () => {
  const { rest, now, ringAt, ringNow } = world();
  await rest.listen();
  ringAt(4500);
  await rest.rest(false, signal);
  assert.equal(now(), 5000);
  await rest.listen();
  ringNow();
  await rest.rest(false, signal);
  assert.equal(now(), 6000);
});

test('a Redis that is away rings for nobody', async () => {
  const { rest, now, leave } = world();
  await rest.listen();
  leave();
  await rest.rest(false, signal);
  assert.equal(now(), 30_000);
  await rest.listen();
  await rest.rest(false, signal);
  assert.equal(now(), 60_000);
});
