import type { Dashboard } from './dashboard.ts';
import { areas, lines, number } from './panels.ts';
import { model, prometheus, typed } from './variables.ts';

const ofModel = '{longhaul_model=~"$model"}';
const onMarket = (market: string) =>
  `longhaul_worker_seconds_total{longhaul_model=~"$model",longhaul_market="${market}"}`;
const spot = onMarket('spot');
const onDemand = onMarket('on-demand');

/**
 * Worker-hours at the two prices; `grown` makes seconds of a counter: its increase over a time, or its rate. Series of the two
 * markets differ by their label, so that `or` brings them together, and one that is not there takes nothing away.
 */
const priced = (grown: (counter: string) => string) =>
  `sum(${grown(spot)} * $price_spot / 3600 or ${grown(onDemand)} * $price_ondemand / 3600)`;
const shown = (counter: string) => `increase(${counter}[$__range])`;
const hourly = (counter: string) => `rate(${counter}[$__rate_interval]) * 3600`;

const allSeconds = `longhaul_worker_seconds_total${ofModel}`;
const readAndWritten = (grown: (counter: string) => string) =>
  `(sum(${grown(`longhaul_tokens_read_total${ofModel}`)}) + (sum(${grown(`longhaul_tokens_generated_total${ofModel}`)}) or vector(0)))`;

/** What does it cost, what comes of it, and what is paid for nothing? */
export const cost: Dashboard = {
  name: 'cost',
  title: 'longhaul / cost',
  description:
    'Paid worker-hours and what came of them. Prices are those that are typed above: nothing here knows any.',
  variables: [
    prometheus,
    model,
    typed('price_spot', 'Price of a spot worker, $/h', '1'),
    typed('price_ondemand', 'Price of an on-demand worker, $/h', '1'),
  ],
  since: '7d',
  rows: [
    {
      title: 'In the time shown',
      panels: [
        number('Cost', 'What was paid, at the prices above?', priced(shown), { unit: 'currencyUSD' }),
        number('Worker-hours', 'How many hours of workers was it?', `sum(${shown(allSeconds)}) / 3600`),
        number('Million tokens', 'How much was read and written?', `${readAndWritten(shown)} / 1e6`),
        number(
          'A million tokens',
          'What did a million tokens cost?',
          `${priced(shown)} / (${readAndWritten(shown)} / 1e6)`,
          {
            unit: 'currencyUSD',
          },
        ),
        number(
          'On demand',
          'Which share of the hours was not spot?',
          `(sum(${shown(onDemand)}) or vector(0)) / sum(${shown(allSeconds)})`,
          { unit: 'percentunit', thresholds: [0.2, 0.5] },
        ),
        number(
          'Idle',
          'Which share of the slots that were there had no job?',
          `1 - sum(sum_over_time(longhaul_jobs_active${ofModel}[$__range])) / sum(sum_over_time(longhaul_slots${ofModel}[$__range]))`,
          { unit: 'percentunit', thresholds: [0.3, 0.6] },
        ),
      ],
    },
    {
      title: 'Over time',
      panels: [
        areas(
          'Cost an hour',
          'What is paid now, and on which market?',
          {
            spot: `sum(${hourly(spot)}) * $price_spot / 3600`,
            'on demand': `sum(${hourly(onDemand)}) * $price_ondemand / 3600`,
          },
          { width: 12, unit: 'currencyUSD' },
        ),
        lines(
          'A million tokens',
          'Does a token get cheaper or dearer?',
          { cost: `${priced(hourly)} / (${readAndWritten(hourly)} / 1e6)` },
          { width: 12, unit: 'currencyUSD' },
        ),
        areas(
          'Paid workers',
          'How many workers are paid for, and do they go away with the demand?',
          {
            '{{longhaul_market}}': `sum by (longhaul_market) (rate(${allSeconds}[$__rate_interval]))`,
          },
          { width: 12 },
        ),
        lines(
          'Slots without a job',
          'Which share of what is paid for does nothing?',
          {
            'slots without a job': `1 - sum(longhaul_jobs_active${ofModel}) / sum(longhaul_slots${ofModel})`,
            'workers without a job': `(count(longhaul_jobs_active${ofModel} == 0) or vector(0)) / count(longhaul_jobs_active${ofModel})`,
          },
          { width: 12, unit: 'percentunit', thresholds: [0.3, 0.6] },
        ),
      ],
    },
    {
      title: 'What it is paid for',
      panels: [
        areas(
          'Worker-hours by model',
          'Which model takes the hours? The last day at each moment.',
          {
            '{{longhaul_model}}': `sum by (longhaul_model) (model_market:longhaul_worker_hours:increase1d${ofModel})`,
          },
          { width: 8 },
        ),
        lines(
          'Paid twice',
          'What do interruptions cost: tokens that are read again, at the price of a token?',
          {
            'cost an hour': `${priced(hourly)} * sum(rate(longhaul_tokens_recomputed_total${ofModel}[$__rate_interval])) / ${readAndWritten((counter) => `rate(${counter}[$__rate_interval])`)}`,
          },
          { width: 8, unit: 'currencyUSD' },
        ),
        lines(
          'Brakes',
          'Does the budget, or a lack of spot machines, keep workers from being started?',
          {
            'budget spent {{longhaul_model}}': `max by (longhaul_model) (longhaul_scaling_breaker${ofModel})`,
            'refused {{longhaul_market}}': `sum by (longhaul_market) (increase(longhaul_workers_refused_total${ofModel}[$__rate_interval]))`,
          },
          { width: 8 },
        ),
      ],
    },
  ],
};
