import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { JobView } from '../../producer/view.ts';
import { mobyDick } from '../../scripts/demo/book.ts';
import { clientOf } from '../support/api-client.ts';
import { waitFor } from '../support/cluster.ts';
import { Stack } from '../support/compose/stack.ts';

describe('the stack of infra/compose, its services as processes', () => {
  let stack: Stack;
  let key: string;
  before(async () => {
    stack = await Stack.start(['compose.yaml']);
  });
  after(() => stack?.close());

  test('what has no program here is named', (t) => {
    for (const [name, reason] of Object.entries(stack.skipped)) t.diagnostic(`${name}: skipped: ${reason}`);
    const allowed = ['grafana', 'prometheus', 'tempo'];
    assert.deepEqual(
      Object.keys(stack.skipped).filter((name) => !allowed.includes(name)),
      [],
    );
  });

  test('a key is made by one command', async () => {
    const made = await stack.run('longhaul', ['keys', 'create', '--name', 'first']);
    assert.equal(await made.ended, 0, made.words);
    key = made.stdout.trim();
    assert.match(key, /^\S{20,}$/);
  });

  test('a completion comes from the worker, over the HTTP API', async () => {
    const answer = await clientOf(stack.url('api', 8080), key)('POST', '/v1/completions', {
      ...{ model: 'tiny-english', prompt: 'Call me', max_tokens: 16 },
    });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    const { choices } = answer.body as { choices: { text: string }[] };
    assert.ok(choices[0]!.text.length > 0);
  });

  test('a document is submitted by the command line and followed to its end', async () => {
    const book = (await mobyDick()).subarray(0, 8_000);
    const submitted = await stack.run('longhaul', ['submit', '-', '--task', 'score', '--follow'], book);
    assert.equal(await submitted.ended, 0, submitted.words);
    assert.match(submitted.stdout + submitted.stderr, /tokens scored: .* bits\/byte, perplexity/);
  });

  test('whoever has no password, or asks for more than its work, is refused by the queue', async () => {
    assert.match(await stack.askQueue(null, ['PING']), /NOAUTH/);
    assert.equal(await stack.askQueue('health', ['PING']), 'PONG');
    assert.match(await stack.askQueue('health', ['GET', 'x']), /NOPERM/);
    assert.match(await stack.askQueue('worker', ['PING']), /WRONGPASS|NOAUTH/);
  });

  test('Prometheus scrapes every process, and knows of the work', async (t) => {
    const { prometheus } = stack;
    if (prometheus === null) return t.skip(stack.skipped['prometheus']);
    for (const job of ['api', 'controller', 'worker']) {
      await prometheus.waitFor(`up{job="longhaul-${job}"} == 1`);
    }
    await prometheus.waitFor('sum(longhaul_tokens_read_total) >= 8000');
    await prometheus.waitFor('sum(longhaul_jobs_settled_total) >= 2');
  });

  test('spans of API and worker arrive at the collector', async () => {
    await stack.receiver!.spansThat((spans) => {
      const services = new Set(spans.map(({ service }) => service));
      return ['longhaul-api', 'longhaul-worker'].every((name) => services.has(name));
    }, 'spans of API and worker');
  });

  test('on SIGTERM the worker commits, hands its job back and exits 0; the next one goes on where it stood', async () => {
    const client = clientOf(stack.url('api', 8080), key);
    const book = (await mobyDick()).subarray(0, 1_000_000);
    const submitted = await stack.run('longhaul', ['submit', '-', '--task', 'score', '--json'], book);
    const { jobId } = JSON.parse(submitted.stdout) as { jobId: string };
    const view = async () => (await client('GET', `/v1/jobs/${jobId}`)).body as JobView;
    const until = (holds: (job: JobView) => boolean, what: string) =>
      waitFor(
        async () => {
          const job = await view();
          return holds(job) ? job : null;
        },
        60_000,
        () => `the job ${what}; the worker said ${stack.process('worker').words}`,
      );
    await until(({ tokens }) => tokens > 0, 'to be read');
    const { code } = await stack.process('worker').stop(stack.grace('worker'));
    assert.equal(code, 0, stack.process('worker').words);
    assert.match(stack.process('worker').stderr, /"draining"/);
    const { committedTokens, ...handedBack } = await view();
    assert.equal(handedBack.status, 'queued', 'the document may be too short for this test');
    assert.ok(committedTokens > 0);

    await stack.up('worker');
    const goneOn = await until(({ attempts, tokens }) => attempts > 1 && tokens > committedTokens, 'to go on');
    assert.equal(goneOn.recomputedTokens, 0);
    const cancelled = await client('POST', `/v1/jobs/${jobId}/cancel`);
    assert.ok(cancelled.status < 300, JSON.stringify(cancelled.body));
    await until(({ status }) => status === 'cancelled', 'to be cancelled');
  });

  test('every process of ours ends by itself when it is asked to', async () => {
    for (const name of ['api', 'controller', 'worker']) {
      const { code } = await stack.process(name).stop(stack.grace(name));
      assert.equal(code, 0, stack.process(name).words);
    }
  });
});
