import { z } from 'zod';
import { LonghaulError } from '../contracts/errors.ts';
import { JobSpec } from '../contracts/job.ts';
import { limits } from '../contracts/limits.ts';
import { InvalidBody, invalidBody } from '../openai/invalid-body.ts';
import { type Plan, planChat, planCompletion } from '../openai/plan.ts';
import { BatchEndpoint, type BatchLineError, type BatchSpec } from './batch.ts';
import { lineSpec } from './line-spec.ts';
import type { InputLine } from './lines.ts';

const LineFields = z.strictObject({
  custom_id: z.string().min(1).max(limits.batchCustomIdChars),
  method: z.literal('POST', { error: 'is POST' }),
  url: BatchEndpoint,
  body: z.record(z.string(), z.unknown()),
});

/** A line that asks for one job. */
export interface AskedLine {
  readonly customId: string;
  readonly plan: Plan;
}

/** Why a line asks for nothing; `customId` where it could be read. */
export class BadLine extends LonghaulError {
  readonly customId: string | null;
  readonly told: BatchLineError;

  constructor(line: InputLine, told: { code: string; message: string; param: string | null }, customId: string | null) {
    super('invalid_argument', `line ${line.lineNumber}: ${told.message}`);
    this.customId = customId;
    this.told = {
      line: line.lineNumber,
      code: told.code,
      message: told.message.slice(0, 1024),
      param: told.param?.slice(0, 256) ?? null,
    };
  }
}

export type LineContext = Pick<BatchSpec, 'id' | 'tenant' | 'endpoint' | 'models'> &
  Partial<Pick<BatchSpec, 'sources'>>;

/** @throws BadLine */
export function parseLine(line: InputLine, batch: LineContext): AskedLine {
  const bad = (code: string, message: string, param: string | null = null, customId: string | null = null) =>
    new BadLine(line, { code, message, param }, customId);
  if (line.bytes === null) {
    throw bad(
      'line_too_long',
      `a line has at most ${limits.batchLineBytes} bytes; found ${line.next - line.offset - 1}`,
    );
  }
  const json = jsonOf(line.bytes);
  if (json instanceof Error) throw bad('invalid_json_line', `this is not JSON: ${json.message}`);
  const given = (json as { custom_id?: unknown } | null)?.custom_id;
  const customId = typeof given === 'string' && given.length <= limits.batchCustomIdChars ? given : null;
  const parsed = LineFields.safeParse(json);
  if (!parsed.success) {
    const complaint = invalidBody(parsed.error.issues[0]!);
    throw bad('invalid_line', complaint.message, complaint.param, customId);
  }
  const { url, body } = parsed.data;
  if (batch.endpoint !== null && url !== batch.endpoint) {
    throw bad('mismatched_url', `url: this batch is for ${batch.endpoint}; found ${url}`, 'url', customId);
  }
  try {
    const asked = { customId: parsed.data.custom_id, plan: planOf(url, body, batch, line.line) };
    checkSpec(asked, batch);
    return asked;
  } catch (error) {
    if (!(error instanceof InvalidBody)) throw error;
    const code = error.param === 'model' ? 'model_not_found' : 'invalid_body';
    throw bad(code, error.message, error.param === null ? 'body' : `body.${error.param}`, customId);
  }
}

function planOf(url: BatchEndpoint, body: Readonly<Record<string, unknown>>, batch: LineContext, line: number): Plan {
  const context = { tenant: batch.tenant, seed: lineSeed(line), sources: batch.sources ?? null };
  const plan = url === '/v1/completions' ? planCompletion(body, context) : planChat(body, context);
  if (batch.models !== null && !batch.models.includes(plan.model)) {
    const served = batch.models.length === 0 ? 'none is served' : `served are ${batch.models.join(', ').slice(0, 300)}`;
    throw new InvalidBody('model', `${plan.model} is not served here; ${served}`);
  }
  if (plan.stream !== null) throw new InvalidBody('stream', 'a line of a batch has no stream');
  if (plan.choices.length !== 1) {
    throw new InvalidBody(
      'n',
      `a line of a batch makes one choice of one prompt; found ${plan.choices.length} choices`,
    );
  }
  return plan;
}

/** What no field says by itself: a job that reads nothing, say. */
function checkSpec({ plan }: AskedLine, batch: LineContext): void {
  const choice = plan.choices[0]!;
  const document = choice.document.kind === 'none' ? null : ({ kind: 'inline', text: '' } as const);
  const parts = { ...batch, priority: 0, createdAt: new Date(0), expiresAt: null };
  const parsed = JobSpec.safeParse(
    lineSpec(plan, choice.document.kind === 'source' ? choice.document.source : document, parts, 0),
  );
  if (parsed.success) return;
  const { path, message } = parsed.error.issues[0]!;
  throw new InvalidBody(fieldOfSpec[path.join('.')] ?? null, message);
}

/** The request's words for those of a spec. */
const fieldOfSpec: Readonly<Record<string, string>> = {
  document: 'input_ref',
  addBos: 'add_bos',
  saveAs: 'save_as',
  from: 'from',
  'task.prompt': 'prompt',
};

/** Lines that give no seed draw differently, and each the same when it is run again. */
function lineSeed(line: number): bigint {
  return BigInt.asUintN(64, BigInt(line) * 0x9e3779b97f4a7c15n);
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch (error) {
    return new Error(error instanceof TypeError ? 'it is not UTF-8' : (error as Error).message.slice(0, 200));
  }
}
