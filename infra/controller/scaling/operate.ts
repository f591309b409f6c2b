import type { Clock } from '@longhaul/core/contracts';
import type { ObjectStore } from '@longhaul/core/ledger';
import { changeScalingRecord, readScalingRecord, type ScalingRecord } from '@longhaul/core/scaling';
import { turnDay } from './account.ts';

/** What a person does about the scaling of a fleet. Every controller follows with its next decision. */
export interface ScalingSwitches {
  read(): Promise<ScalingRecord>;
  /** Nothing is started from now on; workers that run go on to their own end. */
  pause(reason: string): Promise<ScalingRecord>;
  resume(): Promise<ScalingRecord>;
  /** Allows so many worker-hours more for the rest of the day (UTC). */
  lift(hours: number): Promise<ScalingRecord>;
}

export function scalingSwitches(store: ObjectStore, clock: Clock): ScalingSwitches {
  const parts = { store, clock: () => clock.date() };
  const change = (make: (record: ScalingRecord) => ScalingRecord) =>
    changeScalingRecord(parts, (record) => make(turnDay(record, clock.date())));
  return {
    read: async () => turnDay((await readScalingRecord(parts)).record, clock.date()),
    pause: (reason) =>
      change((record) => ({ ...record, paused: { at: clock.date().toISOString(), reason: reason.slice(0, 512) } })),
    resume: () => change((record) => ({ ...record, paused: null })),
    lift: (hours) =>
      change((record) => {
        const before = record.lifted?.day === record.day ? record.lifted.hours : 0;
        return { ...record, lifted: { day: record.day, hours: before + hours } };
      }),
  };
}
