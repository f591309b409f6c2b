import type { JobResult } from '@longhaul/core/contracts';
import type { Command } from 'commander';
import { type CommandContext, exitCodes, write } from '../context.ts';
import type { Producer } from '../producer.ts';
import { recordText, resultSummary, scoreText } from '../render/result.ts';
import { withSession } from '../session.ts';
import { parseJobId } from '../spec.ts';
import { deliver } from './deliver.ts';
import { addCommon, example } from './shared.ts';

interface ResultOptions {
  readonly data?: string;
  readonly json?: boolean;
  readonly output: string;
  readonly records?: boolean;
}

export function addResult(program: Command, context: CommandContext): void {
  addCommon(program.command('result <job>'))
    .description(
      'the answer of a finished job: its text, its score or its answers (with --json, the whole result record)',
    )
    .option('--output <file>', 'write it to a file; - is standard output', '-')
    .option('--records', 'the output records, one JSON object a line')
    .addHelpText('after', example('longhaul result j01k2m3n4p5q6r7s8t9v0w1x2y3z --records --output scores.jsonl'))
    .action(async (job: string, options: ResultOptions) => {
      const jobId = parseJobId(job);
      const result = await withSession(context, options.data, async ({ producer }) => {
        const found = await producer.result(jobId);
        await deliver(answer(found, producer, options), options.output, context);
        return found;
      });
      if (options.json !== true) await write(context.stderr, resultSummary(result));
      context.finish(result.status === 'succeeded' ? exitCodes.ok : exitCodes.failed);
    });
}

async function* answer(result: JobResult, producer: Producer, options: ResultOptions): AsyncGenerator<string, void> {
  if (options.records === true) {
    for await (const record of producer.records(result.jobId)) yield `${JSON.stringify(record)}\n`;
  } else if (options.json === true) {
    yield `${JSON.stringify(result)}\n`;
  } else if (result.score !== null) {
    yield `${scoreText(result.score)}\n`;
  } else if (result.text !== null) {
    yield result.text === '' ? '' : `${result.text}\n`;
  } else if (result.task === 'generate' || result.task === 'ask') {
    // A long text is not in the record: it is put together from the committed segments, as answers are.
    for await (const record of producer.records(result.jobId)) yield recordText(record);
    if (result.task === 'generate') yield '\n';
  }
}
