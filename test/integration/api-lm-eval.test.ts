// The requests that lm-evaluation-harness's `local-completions` makes (lm_eval/models/openai_completions.py), held against
// the engine's own log-probabilities.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { greedy, loadModel, type Model } from '@longhaul/native';
import { clientOf, keyFor } from '../support/api-client.ts';
import { Cluster, models } from '../support/cluster.ts';

interface Choice {
  readonly index: number;
  readonly text: string;
  readonly logprobs: {
    readonly tokens: string[];
    readonly token_logprobs: (number | null)[];
    readonly top_logprobs: (Record<string, number> | null)[];
  };
}

let cluster: Cluster;
let post: (body: object) => Promise<readonly Choice[]>;
let model: Model;

before(async () => {
  cluster = await Cluster.start({ model: models.tinyEnglish });
  const [api, , loaded] = await Promise.all([
    cluster.startApi(),
    cluster.startWorker('w1'),
    loadModel(models.tinyEnglish, {
      device: 'cpu',
      weights: 'as-stored',
      activations: 'matched',
      threads: 1,
      slots: null,
    }),
  ]);
  model = loaded;
  const client = clientOf(await api.url(), await keyFor(cluster.store, 'eval'));
  post = async (body) => {
    const answer = await client('POST', '/v1/completions', { model: 'test', ...body });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return (answer.body as { choices: Choice[] }).choices;
  };
});
after(async () => {
  await cluster.close();
  model.close();
});

/** The tokenizer of the small model has one token a byte. */
const encode = (text: string) => [...Buffer.from(text)];

/** Log-probability of each token behind the first, the likeliest in its place, and the likeliest token behind all of them. */
async function engineScores(tokens: readonly number[]) {
  const session = model.openSession();
  const targets = Int32Array.from([...tokens.slice(1), 0]);
  const ids = Int32Array.from(tokens);
  const [result] = await model.step([{ session, tokens: ids, want: { kind: 'logprobs', targets, top: 1 } }]);
  session.close();
  if (result?.kind !== 'logprobs') return assert.fail(String(result?.kind));
  return { logprobs: [...result.logprobs], best: [...result.top.logprobs], bestIds: [...result.top.ids] };
}

const cases: readonly (readonly [context: string, continuation: string])[] = [
  ['Call me', ' Ishmael.'],
  ['It was the best of', ' times'],
  ['The whale', ' zzq'],
  ['a', 'b'],
];

test('loglikelihood: the sums and the greedy flags are those of the engine, bit for bit', async () => {
  const requests = cases.map(([context, continuation]) => {
    const [contextIds, continuationIds] = [encode(context), encode(continuation)];
    return { ids: [...contextIds, ...continuationIds], ctxlen: contextIds.length };
  });
  // As the harness asks: a batch of prompts of token ids.
  const choices = await post({
    prompt: requests.map(({ ids }) => ids),
    temperature: 0,
    max_tokens: 1,
    logprobs: 1,
    seed: 1234,
    echo: true,
  });
  assert.equal(choices.length, requests.length);
  for (const [i, { ids, ctxlen }] of requests.entries()) {
    const choice = choices.find(({ index }) => index === i)!;
    const { token_logprobs, top_logprobs, tokens } = choice.logprobs;
    assert.equal(token_logprobs.length, ids.length + 1, 'the prompt and one token more');
    assert.equal(token_logprobs[0], null);
    assert.equal(tokens.slice(0, -1).join(''), Buffer.from(ids).toString());
    // What LocalCompletionsAPI.parse_logprobs does.
    const sum = token_logprobs.slice(ctxlen, -1).reduce<number>((total, one) => total + one!, 0);
    const isGreedy = top_logprobs
      .slice(ctxlen, -1)
      .every((top, j) => token_logprobs[ctxlen + j] === Math.max(...Object.values(top!)));
    const engine = await engineScores(ids);
    const wanted = engine.logprobs.slice(ctxlen - 1, -1);
    assert.deepEqual(token_logprobs.slice(ctxlen, -1), wanted);
    assert.equal(
      sum,
      wanted.reduce((total, one) => total + one, 0),
    );
    assert.equal(
      isGreedy,
      wanted.every((one, j) => one === engine.best[ctxlen - 1 + j]),
    );
    assert.equal(token_logprobs.at(-1), engine.best.at(-1));
    assert.equal(tokens.at(-1), String.fromCharCode(engine.bestIds.at(-1)!));
  }
  const flags = await Promise.all(
    cases.map(async ([context, continuation]) => {
      const { logprobs, best } = await engineScores(encode(context + continuation));
      return logprobs
        .slice(encode(context).length - 1, -1)
        .every((one, j) => one === best[encode(context).length - 1 + j]);
    }),
  );
  assert.ok(flags.includes(false), 'a case that is not greedy');
});

test('loglikelihood_rolling and text prompts: the same figures as their token ids', async () => {
  const text = 'Some years ago, never mind how long precisely';
  const asked = { temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true };
  const [[asText], [asIds]] = [
    await post({ ...asked, prompt: text }),
    await post({ ...asked, prompt: [encode(text)] }),
  ];
  assert.deepEqual(asText!.logprobs, asIds!.logprobs);
  const [prompt] = await post({ ...asked, max_tokens: 0, prompt: text });
  assert.deepEqual(prompt!.logprobs.token_logprobs, asText!.logprobs.token_logprobs.slice(0, -1));
  assert.equal(prompt!.text, text);
});

test('generate_until: greedy text up to a stop, from token ids and from text', async () => {
  const context = 'Call me Ishmael. Some years ago';
  const asked = { max_tokens: 20, temperature: 0, stop: ['\n\n'], seed: 1234 };
  const [fromIds] = await post({ ...asked, prompt: [encode(context)] });
  const [fromText] = await post({ ...asked, prompt: context });
  assert.equal(fromIds!.text, fromText!.text);
  const session = model.openSession();
  let next = Int32Array.from(encode(context));
  let text = '';
  for (let position = 1; position <= 20; position++) {
    const want = { kind: 'sample', sampling: { ...greedy, seed: 0n, position }, top: 0 } as const;
    const [result] = await model.step([{ session, tokens: next, want }]);
    if (result?.kind !== 'sample') return assert.fail(String(result?.kind));
    text += String.fromCharCode(result.token);
    next = Int32Array.of(result.token);
  }
  session.close();
  assert.equal(fromText!.text, text);
});
