import { type ScalingRecord, workerNameOf } from '@longhaul/core/scaling';
import type { ScalingReport } from './port.ts';

/** What a decision saw and what follows, a model a line. */
export function scalingText({ platform, workerHoursToday, workerHoursAllowed, paused, models }: ScalingReport): string {
  const allowed = workerHoursAllowed === null ? 'no budget' : `of ${workerHoursAllowed.toFixed(1)}`;
  const lines = [
    `scaling on ${platform}: ${workerHoursToday.toFixed(1)} worker-hours today, ${allowed}`,
    ...(paused === null ? [] : [`paused: ${paused}`]),
    ...models.map(({ model, decision }) => {
      const starts = decision.start.map(({ market, count }) => `${count} on ${market}`).join(', ');
      return `${model}: ${starts === '' ? 'starts nothing' : `starts ${starts}`}: ${decision.reason}`;
    }),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** The record, for the person who pauses and lifts. */
export function recordText({ day, workerSeconds, lifted, paused, workers, models }: ScalingRecord): string {
  const more = lifted?.day === day && lifted.hours > 0 ? `, ${lifted.hours} beyond the budget allowed` : '';
  const lines = [
    `${day}: ${(workerSeconds / 3600).toFixed(2)} worker-hours${more}`,
    paused === null ? 'workers are started as they are needed' : `paused since ${paused.at}: ${paused.reason}`,
    ...Object.entries(workers).map(
      ([id, { model, market, state, why }]) =>
        `${workerNameOf(id)}  ${model}  ${market}  ${state}${why === null ? '' : `: ${why}`}`,
    ),
    ...Object.entries(models).flatMap(([model, { refusal, broken }]) => [
      ...(refusal === null ? [] : [`${model}: refused at ${new Date(refusal.at).toISOString()}: ${refusal.words}`]),
      ...(broken === null ? [] : [`${model}: ${broken.count} ended before they served: ${broken.words}`]),
    ]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}
