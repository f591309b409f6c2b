import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Task } from '@longhaul/core/contracts';
import { mobyDick } from '../../scripts/demo/book.ts';
import { type ServedApi, serveApi } from '../support/api-cluster.ts';
import { noBrowser, type OpenedPage, screenshot, screenshots } from '../support/browser.ts';
import { Cluster, models } from '../support/cluster.ts';
import { focusedOnceIs, openJob, openRunPage, overflow, settled, textOnceIs } from '../support/run-page.ts';
import { greedySampling } from '../support/tasks.ts';

const generate: Task = {
  kind: 'generate',
  prompt: null,
  maxNewTokens: 200,
  sampling: greedySampling,
  stop: [],
  topLogprobs: 0,
};

let cluster: Cluster;
let api: ServedApi;
let opened: OpenedPage;
let book: Uint8Array;

before(async () => {
  if (noBrowser !== false) return;
  cluster = await Cluster.start({ model: models.tinyEnglish });
  api = await serveApi(cluster);
  book = await mobyDick();
  opened = await openRunPage(api);
});
after(async () => {
  await opened?.close();
  await cluster?.close();
});

test('a real job from the list to its end: it comes up, is read, is taken over from a killed worker, and its text is the result', {
  skip: noBrowser,
}, async (t) => {
  t.diagnostic(`screenshots are in ${screenshots}`);
  const { page } = opened;
  await page.getByText('No jobs yet').waitFor();
  const jobId = await cluster.submitText('live-00001', book.subarray(30_000, 70_000), generate);
  const row = page.getByRole('row').filter({ hasText: jobId });
  await row.getByText('queued').waitFor();
  // It commits, and stands still with most of the document before it: a browser may take its time.
  const first = cluster.launchWorker('first');
  await cluster.head(jobId, ({ seq }) => seq > 0);
  first.signal('SIGSTOP');
  await row.getByText('running').waitFor();
  await page.getByRole('radio', { name: /^Running/ }).check();
  await page.getByText('1 job, running').first().waitFor();
  await screenshot(page, 'jobs-running');
  await row.getByRole('link', { name: jobId }).click();
  await page.getByRole('heading', { level: 1, name: jobId }).waitFor();
  assert.equal(
    await focusedOnceIs(page, `heading ${jobId}`),
    `heading ${jobId}`,
    'whoever follows a link hears the new heading',
  );

  await page.getByRole('img', { name: /^Time line: [1-9]\d* commit/ }).waitFor({ timeout: 60_000 });
  first.signal('SIGKILL');
  await screenshot(page, 'job-reading');
  const text = page.getByRole('region', { name: 'Written text' });
  await cluster.startWorker('second');
  await page.getByRole('img', { name: /^Time line: .*1 takeover/ }).waitFor({ timeout: 60_000 });
  await page.getByText('All that happened').click();
  await page
    .locator('.happenings')
    .getByText(/Taken over by second, attempt 2: first was lost, going on from [\d,]+ tokens/)
    .waitFor();
  const result = await cluster.result(jobId);
  await page.getByRole('heading', { name: 'Result' }).waitFor();
  assert.equal(await textOnceIs(text, result.text), result.text);
  assert.equal(await textOnceIs(text.locator('.pending'), ''), '', 'all of it is committed');
  await screenshot(page, 'job-taken-over');

  // Opened when it is all over, it tells the same.
  await page.reload();
  await page.getByRole('img', { name: /^Time line: .*1 takeover/ }).waitFor();
  await page.getByRole('heading', { name: 'Result' }).waitFor();
  assert.equal(await textOnceIs(page.getByRole('region', { name: 'Written text' }), result.text), result.text);
  const shown = await settled(
    () => page.getByRole('progressbar').getAttribute('aria-valuenow'),
    (value) => value === '100',
  );
  assert.equal(shown, '100');
  await screenshot(page, 'job-done');
});

test('states and their lineage: versions, a fork, and the jobs that made them', { skip: noBrowser }, async () => {
  const { page } = opened;
  const ingest = await cluster.submitText(
    'ing-000001',
    book.subarray(30_000, 32_000),
    { kind: 'ingest' },
    { saveAs: 'moby' },
  );
  await cluster.result(ingest);
  const from = { name: 'moby', version: null };
  const append = await cluster.submitText('app-000001', book.subarray(32_000, 33_000), { kind: 'append' }, { from });
  await cluster.result(append);
  await cluster.states.fork('default', { name: 'moby', version: 1 }, 'whale');
  const questions = ['The captain', 'The whale was'].map((prompt) => ({ id: null, prompt, maxNewTokens: null }));
  const ask = await cluster.submit(
    'ask-000001',
    null,
    {
      kind: 'ask',
      questions: { kind: 'inline', questions },
      maxNewTokens: 24,
      sampling: greedySampling,
      stop: [],
      logprobs: false,
      topLogprobs: 0,
    },
    { from: { name: 'moby', version: 1 } },
  );
  await cluster.result(ask);
  await openJob(page, api, ask);
  const answers = page.locator('.answers li');
  await answers.nth(1).waitFor();
  assert.deepEqual(await page.locator('.answers .question').allInnerTexts(), ['The captain', 'The whale was']);
  await page.getByRole('heading', { name: 'Lineage of the state' }).waitFor();
  await screenshot(page, 'job-ask');

  await page.getByRole('link', { name: 'States' }).click();
  // The job's own page tells of these states too, and stands until the list has come.
  await page.waitForURL(/#\/states$/);
  await page.getByRole('listitem').filter({ hasText: 'moby' }).getByText('3,000 tokens').waitFor();
  await page.getByRole('link', { name: 'moby', exact: true }).click();
  const items = page.locator('.graph li');
  await items.nth(2).waitFor();
  const told = (await items.allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' '));
  assert.match(
    told.find((text) => text.startsWith('moby@2'))!,
    /3,000 tokens, \+1,000 .*append from moby@1 .*app-000001/,
  );
  assert.match(told.find((text) => text.startsWith('whale@1'))!, /2,000 tokens .*fork from moby@1/);
  assert.equal(await page.locator('.graph path').count(), 2, 'two versions went on from the first one');
  await screenshot(page, 'state-lineage');
});

test('no view is wider than a phone, a tablet or a wide screen', { skip: noBrowser }, async (t) => {
  const { page } = opened;
  for (const [width, height] of [
    [320, 700],
    [768, 1024],
    [1440, 900],
  ] as const) {
    await page.setViewportSize({ width, height });
    for (const place of ['jobs', 'jobs/live-00001', 'jobs/ask-000001', 'states', 'states/moby']) {
      await page.goto(`${api.url}/ui/#/${place}`);
      await page.locator('.jobs tr, .facts, .states li, .graph li').first().waitFor();
      assert.equal(await overflow(page), 0, `${place} at ${width} px`);
      t.diagnostic(await screenshot(page, `${place.replace('/', '-')}-${width}`));
    }
  }
});

test('the browser complained of nothing: no error, and nothing that the policy had to stop', {
  skip: noBrowser,
}, () => {
  assert.deepEqual(opened.complaints, []);
});
