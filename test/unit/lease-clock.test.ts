import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Abandoned } from '@longhaul/core/contracts';
import { LeaseClock, type LeaseTime } from '../../core/queue/lease-clock.ts';

/** Time that moves when told to; `freeze` moves it without running the timers that fall due. */
class ManualTime implements LeaseTime {
  private ms = 0;
  private timers = new Set<{ at: number; wake: () => void }>();
  now(): number {
    return this.ms;
  }
  after(ms: number, wake: () => void): () => void {
    const timer = { at: this.ms + ms, wake };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  }
  freeze(ms: number): void {
    this.ms += ms;
  }
  advance(ms: number): void {
    for (const end = this.ms + ms; ; ) {
      const due = [...this.timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      this.ms = Math.max(this.ms, due?.at ?? end);
      if (due === undefined) return;
      this.timers.delete(due);
      due.wake();
    }
  }
  get waiting(): number {
    return this.timers.size;
  }
}

function lease(time: LeaseTime): LeaseClock {
  return new LeaseClock({ time, what: 'job test', lockMs: 1000, marginMs: 100, provenAt: time.now() });
}

test('the lease ends a margin before the lock does, to the millisecond', () => {
  const time = new ManualTime();
  const clock = lease(time);
  time.advance(899);
  assert.equal(clock.signal.aborted, false);
  time.advance(1);
  assert.equal(clock.signal.aborted, true);
  assert.ok(clock.signal.reason instanceof Abandoned);
  assert.equal(clock.signal.reason.code, 'lease_lost');
  assert.match(clock.signal.reason.message, /no proof of the lock for 900 ms/);
  assert.equal(time.waiting, 0);
});

test('a proof counts from when it was asked for, and an old one takes nothing back', () => {
  const time = new ManualTime();
  const clock = lease(time);
  time.advance(800);
  clock.prove(500);
  clock.prove(200);
  time.advance(599);
  assert.equal(clock.signal.aborted, false);
  time.advance(1);
  assert.equal(clock.signal.aborted, true);
});

test('abort listeners hear it from the timer alone', () => {
  const time = new ManualTime();
  const clock = lease(time);
  let heard = 0;
  clock.signal.addEventListener('abort', () => {
    heard += 1;
  });
  const any = AbortSignal.any([clock.signal]);
  time.advance(5000);
  assert.equal(heard, 1);
  assert.equal(any.aborted, true);
});

test('after a freeze the signal is aborted before any timer has run', () => {
  const time = new ManualTime();
  const [asked, thrown] = [lease(time), lease(time)];
  time.freeze(5000);
  assert.equal(asked.signal.aborted, true);
  assert.throws(() => thrown.signal.throwIfAborted(), Abandoned);
});

test('a proof that arrives after the end does not revive the lease', () => {
  const time = new ManualTime();
  const clock = lease(time);
  time.freeze(950);
  clock.prove(940);
  assert.equal(clock.signal.aborted, true);
});

test('a refusal ends the lease at once, and close leaves no timer', () => {
  const time = new ManualTime();
  const [refused, closed] = [lease(time), lease(time)];
  refused.refuse();
  assert.equal(refused.signal.aborted, true);
  closed.close();
  assert.equal(time.waiting, 0);
});
