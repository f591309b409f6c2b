import type { Dashboard } from './dashboard.ts';
import { areas, increase, lines, quantile, text, traces } from './panels.ts';
import { model, prometheus, task, tempo, typed } from './variables.ts';

const ofTask = '{longhaul_model=~"$model",longhaul_job_task=~"$task"}';
const ofRequest = '{gen_ai_request_model=~"$model"}';

const commands = `The ledger knows everything of a job, also where nothing was traced:

\`\`\`sh
longhaul status $job     # where it stands, its attempts, how each ended
longhaul follow $job     # its output as it comes
longhaul result $job     # its answer, or why there is none
\`\`\`

Logs: the lines of a worker or a controller about the job have \`"job":"$job"\`, and its \`trace_id\`.`;

/**
 * One job. Metrics have no job ids: each would be a series of its own for as long as Prometheus remembers. So what is of one
 * job comes from its trace, and metrics say how jobs of its kind do.
 */
export const job: Dashboard = {
  name: 'job',
  title: 'longhaul / job',
  description: 'One job by its id: its trace, attempts and commits; and how jobs of its model and task do.',
  variables: [prometheus, tempo, typed('job', 'Job', ''), model, task],
  since: '24h',
  rows: [
    {
      title: 'The job',
      panels: [
        traces(
          'Trace',
          'Where is the trace of the job? One trace, whichever workers had it.',
          '{ span.longhaul.job.id = "$job" } | select(span.longhaul.job.task, span.longhaul.model, span.longhaul.outcome)',
          'traces',
          { width: 16 },
        ),
        text('By hand', 'What to type about this job?', commands, { width: 8 }),
        traces(
          'Attempts',
          'Which workers had it, from which token on, and how did each attempt end?',
          '{ name = "longhaul.attempt" && span.longhaul.job.id = "$job" } | select(span.longhaul.epoch, span.longhaul.worker, span.longhaul.token_offset, span.longhaul.resumed, span.longhaul.lost, span.longhaul.outcome, span.longhaul.error.code)',
          'spans',
          { width: 12 },
        ),
        traces(
          'Commits',
          'How far had it come, when? Those of attempts that have ended.',
          '{ span.longhaul.job.id = "$job" } >> { name = "longhaul.commit" } | select(span.longhaul.epoch, span.longhaul.token_offset, span.longhaul.output_count)',
          'spans',
          { width: 12 },
        ),
        traces(
          'Waits',
          'How long did it stand in the line, before each attempt?',
          '{ name = "longhaul.queue.wait" && span.longhaul.job.id = "$job" } | select(span.longhaul.epoch)',
          'spans',
          { width: 12 },
        ),
        traces(
          'From outside',
          'What did a controller, or a user, do about it?',
          '{ name =~ "longhaul.(tend|cancel)" && span.longhaul.job.id = "$job" }',
          'spans',
          { width: 12 },
        ),
      ],
    },
    {
      title: 'Jobs of its kind',
      panels: [
        lines(
          'From submit to result',
          'How long do jobs of the model take?',
          {
            p50: quantile(0.5, 'gen_ai_server_request_duration', ofRequest),
            p95: quantile(0.95, 'gen_ai_server_request_duration', ofRequest),
          },
          { unit: 's' },
        ),
        lines(
          'First token',
          'How long until they begin to answer?',
          {
            p50: quantile(0.5, 'gen_ai_server_time_to_first_token', ofRequest),
            p95: quantile(0.95, 'gen_ai_server_time_to_first_token', ofRequest),
          },
          { unit: 's' },
        ),
        lines(
          'Resume',
          'How long does a job stand when its worker is lost, once it is taken again?',
          {
            p50: quantile(0.5, 'longhaul_resume_duration', ofTask),
            p99: quantile(0.99, 'longhaul_resume_duration', ofTask),
          },
          { unit: 's' },
        ),
        areas('Ends', 'How do jobs of its model and task leave a worker?', {
          '{{longhaul_outcome}} {{longhaul_error_code}}': increase('longhaul_jobs_settled_total', ofTask, [
            'longhaul_outcome',
            'longhaul_error_code',
          ]),
        }),
      ],
    },
  ],
};
