import type { Dashboard } from './dashboard.ts';
import { areas, increase, lines, number, perSecond, quantile, table } from './panels.ts';
import { model, prometheus } from './variables.ts';

const ofModel = '{longhaul_model=~"$model"}';
const ofRequest = '{gen_ai_request_model=~"$model"}';
/** Every controller tells of the whole queue. */
const queue = (metric: string, selector = ofModel) => `sum(max by (longhaul_model) (${metric}${selector}))`;

const newOrGrown = (counter: string, selector: string) =>
  `((${counter}${selector} unless ${counter} offset $__rate_interval) or increase(${counter}${selector}[$__rate_interval]))`;

/** Is the fleet well, is it large enough, and what is in its way? */
export const fleet: Dashboard = {
  name: 'fleet',
  title: 'longhaul / fleet',
  description: 'Demand and workers, work and interruptions, and the processes themselves.',
  variables: [prometheus, model],
  since: '6h',
  rows: [
    {
      title: 'Now',
      panels: [
        number('Demand', 'How many jobs want a worker with room?', queue('longhaul_queue_demand')),
        number('Workers', 'How many workers are seen?', `count(longhaul_slots${ofModel}) or vector(0)`),
        number(
          'Slots in use',
          'How full are they?',
          `sum(longhaul_jobs_active${ofModel}) / sum(longhaul_slots${ofModel})`,
          { unit: 'percentunit' },
        ),
        number(
          'Tokens a second',
          'How fast does the fleet read and write?',
          `(sum(rate(longhaul_tokens_read_total${ofModel}[5m])) or vector(0)) + (sum(rate(longhaul_tokens_generated_total${ofModel}[5m])) or vector(0))`,
        ),
        number(
          'Oldest wait',
          'How long has the job waited that has waited longest?',
          `max(longhaul_queue_oldest_age${ofModel})`,
          {
            unit: 's',
            thresholds: [900, 3600],
          },
        ),
        number(
          'Alerts',
          'Does anything call somebody?',
          'count(ALERTS{alertname=~"Longhaul.*",alertstate="firing",severity!="info"}) or vector(0)',
          { thresholds: [1, 5] },
        ),
        table(
          'What fires',
          'Which alerts, of what? docs/runbook.md has an entry for each.',
          'max by (alertname, severity, alertstate, longhaul_model, instance) (ALERTS{alertname=~"Longhaul.*"})',
          { width: 24, height: 6 },
        ),
      ],
    },
    {
      title: 'Queue',
      panels: [
        lines('Demand and slots', 'Is the fleet as large as what is asked of it?', {
          demand: queue('longhaul_queue_demand'),
          slots: `sum(longhaul_slots${ofModel})`,
          'jobs in hand': `sum(longhaul_jobs_active${ofModel})`,
        }),
        areas('Jobs by place', 'Where in the queue are they? Orphans belong to lost workers.', {
          '{{longhaul_place}}': `sum by (longhaul_place) (max by (longhaul_model, longhaul_place) (longhaul_queue_jobs${ofModel}))`,
        }),
        lines(
          'Oldest wait',
          'How long does a job wait for its first worker?',
          { '{{longhaul_model}}': `max by (longhaul_model) (longhaul_queue_oldest_age${ofModel})` },
          { unit: 's', thresholds: [900, 3600] },
        ),
        lines('In and out', 'How many jobs come, and how do they leave?', {
          submitted: increase('longhaul_jobs_submitted_total', ofModel),
          '{{longhaul_outcome}}': increase('longhaul_jobs_settled_total', ofModel, ['longhaul_outcome']),
        }),
      ],
    },
    {
      title: 'Work',
      panels: [
        areas('Tokens a second', 'What is read, and what is written?', {
          'read {{longhaul_model}}': perSecond('longhaul_tokens_read_total', ofModel, ['longhaul_model']),
          'written {{longhaul_model}}': perSecond('longhaul_tokens_generated_total', ofModel, ['longhaul_model']),
        }),
        lines(
          'One chunk',
          'How long does a chunk take through the engine, its place in the batch included?',
          {
            p50: quantile(0.5, 'longhaul_chunk_duration', ofModel),
            p99: quantile(0.99, 'longhaul_chunk_duration', ofModel),
          },
          { unit: 's' },
        ),
        lines(
          'One commit',
          "How long does a commit take? A drain waits for one, and the store's trouble shows here first.",
          {
            p50: quantile(0.5, 'longhaul_commit_duration', ofModel),
            p99: quantile(0.99, 'longhaul_commit_duration', ofModel),
          },
          { unit: 's', thresholds: [2, 10] },
        ),
        lines('Commits', 'Does every worker that has work commit?', {
          '{{instance}}': increase('longhaul_commits_total', ofModel, ['instance']),
        }),
      ],
    },
    {
      title: 'Requests',
      panels: [
        lines(
          'From submit to result',
          'How long does a job take, its wait included?',
          {
            p50: quantile(0.5, 'gen_ai_server_request_duration', ofRequest),
            p95: quantile(0.95, 'gen_ai_server_request_duration', ofRequest),
          },
          { unit: 's' },
        ),
        lines(
          'First token',
          'How long from the submit to the first token of an answer?',
          {
            p50: quantile(0.5, 'gen_ai_server_time_to_first_token', ofRequest),
            p95: quantile(0.95, 'gen_ai_server_time_to_first_token', ofRequest),
          },
          { unit: 's' },
        ),
        lines(
          'Each further token',
          'How fast is an answer written?',
          {
            p50: quantile(0.5, 'gen_ai_server_time_per_output_token', ofRequest),
            p95: quantile(0.95, 'gen_ai_server_time_per_output_token', ofRequest),
          },
          { unit: 's' },
        ),
        areas('Tokens of done jobs', 'How much went in and came out of jobs that were done?', {
          '{{gen_ai_token_type}}': increase('gen_ai_client_token_usage_sum', ofRequest, ['gen_ai_token_type']),
        }),
      ],
    },
    {
      title: 'Interruptions',
      panels: [
        lines(
          'Notices',
          'Who tells workers to leave, or that they may have to? A worker that leaves within a scrape interval tells it by OTLP alone.',
          {
            '{{longhaul_source}} {{longhaul_action}}': `sum by (longhaul_source, longhaul_action) (${newOrGrown('longhaul_preemptions_total', '')})`,
          },
        ),
        lines(
          'Read twice',
          'Which share of the tokens was read a second time?',
          {
            share: `sum(${newOrGrown('longhaul_tokens_recomputed_total', ofModel)}) / ${increase('longhaul_tokens_read_total', ofModel)}`,
          },
          { unit: 'percentunit', thresholds: [0.01, 0.05] },
        ),
        lines(
          'Leaving and resuming',
          'How long does a worker take to leave (it tells that by OTLP alone), and the next one to the first new token?',
          {
            'leave p99': quantile(0.99, 'longhaul_flush_duration', ofModel),
            'resume p50': quantile(0.5, 'longhaul_resume_duration', ofModel),
            'resume p99': quantile(0.99, 'longhaul_resume_duration', ofModel),
          },
          { unit: 's', thresholds: [5, 10] },
        ),
        lines('Lost', 'Are leases lost, or checkpoints damaged?', {
          leases: `sum(${newOrGrown('longhaul_leases_lost_total', ofModel)})`,
          checkpoints: `sum(${newOrGrown('longhaul_checkpoints_damaged_total', ofModel)})`,
        }),
      ],
    },
    {
      title: 'Workers',
      panels: [
        areas('Started workers', 'How many workers does the controller have, on which market?', {
          '{{longhaul_market}} {{longhaul_state}}': `sum by (longhaul_market, longhaul_state) (max by (longhaul_model, longhaul_market, longhaul_state) (longhaul_workers${ofModel}))`,
        }),
        lines('Starts', 'How many were started, and how many had no room?', {
          'started {{longhaul_market}}': `sum by (longhaul_market) (${newOrGrown('longhaul_workers_started_total', ofModel)})`,
          'refused {{longhaul_market}}': `sum by (longhaul_market) (${newOrGrown('longhaul_workers_refused_total', ofModel)})`,
        }),
        lines(
          'Cold start',
          'How long does a start take, and which phase of it? The slowest of the workers that run.',
          { '{{longhaul_phase}}': 'max by (longhaul_phase) (longhaul_start_duration)' },
          { unit: 's' },
        ),
        lines(
          'Event loop',
          'Is a main thread late? It renews locks and streams tokens.',
          { '{{instance}}': 'max by (instance) (longhaul_event_loop_delay)' },
          { unit: 's', thresholds: [0.05, 0.1] },
        ),
      ],
    },
    {
      title: 'API and controller',
      panels: [
        areas('Requests', 'What is asked of the API, and how does it answer?', {
          '{{http_response_status_code}}': perSecond('http_server_request_duration_count', '', [
            'http_response_status_code',
          ]),
        }),
        lines(
          'Answers',
          'How long does an answer of the API take?',
          { '{{http_route}} p95': quantile(0.95, 'http_server_request_duration', '', ['http_route']) },
          { unit: 's' },
        ),
        lines('Put right', 'What did the sweeps of the controller put right?', {
          '{{longhaul_result}}': `sum by (longhaul_result) (${newOrGrown('longhaul_sweep_jobs_total', '')})`,
          quarantined: queue('longhaul_jobs_quarantined'),
        }),
        lines('Webhooks and failing loops', 'Are webhooks heard, and does every loop turn?', {
          'webhook {{longhaul_result}}': `sum by (longhaul_result) (${newOrGrown('longhaul_webhooks_total', '')})`,
          '{{longhaul_loop}} fails': 'max by (longhaul_loop) (longhaul_loop_failing) > 0',
        }),
      ],
    },
  ],
};
