import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import type { JobId, OutputRecord } from '@longhaul/core/contracts';
import type { Lease } from '@longhaul/core/ledger';
import { type ServedApi, serveApi } from '../support/api-cluster.ts';
import { noBrowser, type OpenedPage, screenshot } from '../support/browser.ts';
import { Cluster, models } from '../support/cluster.ts';
import { commitOf, completion, leaseOf } from '../support/ledger-job.ts';
import {
  accessibleThings,
  focused,
  focusedOnceIs,
  openJob,
  openRunPage,
  settled,
  textOnceIs,
} from '../support/run-page.ts';
import { greedySampling } from '../support/tasks.ts';

const markup = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";
const contrast = await readFile(new URL('../support/contrast.mjs', import.meta.url), 'utf8');

let cluster: Cluster;
let api: ServedApi;
let opened: OpenedPage;

before(async () => {
  if (noBrowser !== false) return;
  cluster = await Cluster.start({ model: models.tinyEnglish });
  api = await serveApi(cluster);
  opened = await openRunPage(api);
});
after(async () => {
  await opened?.close();
  await cluster?.close();
});

/** A `generate` that this test itself is the worker of. */
async function takenJob(jobId: JobId): Promise<Lease> {
  await cluster.ledger.submit({
    v: 1,
    jobId,
    tenant: 'default',
    createdAt: new Date().toISOString(),
    model: 'test',
    task: {
      kind: 'generate',
      prompt: null,
      maxNewTokens: 100,
      sampling: greedySampling,
      stop: [],
      topLogprobs: 0,
    },
    document: { kind: 'inline', text: markup },
    compression: 'none',
    invalidUtf8: 'error',
    addBos: false,
    priority: 0,
    expiresAt: null,
    from: null,
    saveAs: null,
    prefixCache: false,
    trace: null,
  });
  return leaseOf(await cluster.ledger.acquire(jobId, 'w1'));
}

const token = (position: number, text: string) => ({ position, token: position, logprob: -1, text });

async function commitTexts(lease: Lease, tokenOffset: number, texts: readonly string[]): Promise<void> {
  const from = lease.head.position.outputCount;
  const records: OutputRecord[] = texts.map((text, i) => token(from + i + 1, text));
  await lease.commit({ ...commitOf(lease, tokenOffset, texts.length), records });
}

test('text that is not committed is told apart, is struck out when a new worker takes it back, and comes again', {
  skip: noBrowser,
}, async () => {
  const { page } = opened;
  const { live, ledger } = cluster;
  const jobId = 'live-back-1';
  const lease = await takenJob(jobId);
  await live.append(jobId, 1, [{ kind: 'begin', position: 0 }]);
  await commitTexts(lease, 8, ['Call ', 'me ']);
  await openJob(page, api, jobId);
  const text = page.getByRole('region', { name: 'Written text' });
  await text.getByText('Call me').waitFor();
  await live.append(jobId, 1, [
    { kind: 'token', ...token(3, 'Ish') },
    { kind: 'token', ...token(4, 'mael') },
  ]);
  await page.locator('.text .pending').getByText('Ishmael').waitFor();
  assert.equal((await page.locator('.text .committed').first().textContent())?.trim(), 'Call me');
  await commitTexts(lease, 16, ['Ish']);
  await page.locator('.text .committed').getByText('Ish').waitFor();
  await page
    .locator('.text .pending')
    .getByText(/^mael$/)
    .waitFor();

  const second = leaseOf(await ledger.acquire(jobId, 'w2'));
  await live.append(jobId, 2, [{ kind: 'begin', position: 3 }]);
  await page.locator('.text del').getByText('mael').waitFor();
  await screenshot(page, 'text-taken-back');
  await page.getByText(/^Another worker goes on: 1 record/).waitFor({ state: 'attached' });
  await commitTexts(second, 24, ['mael.']);
  await second.complete({ ...completion, text: 'Call me Ishmael.', usage: { ...completion.usage, outputTokens: 4 } });
  await live.append(jobId, 2, [{ kind: 'end', status: 'done', finishReason: 'length', outputCount: 4 }]);
  await page.getByRole('heading', { name: 'Result' }).waitFor();
  await page.locator('.text del').waitFor({ state: 'detached' });
  assert.equal(await textOnceIs(text, 'Call me Ishmael.'), 'Call me Ishmael.');
  await page.getByRole('img', { name: /3 commits, 1 takeover/ }).waitFor();
});

test('nothing that a job says is markup: not its text, not its failure', { skip: noBrowser }, async () => {
  const { page } = opened;
  const lease = await takenJob('markup-001');
  await commitTexts(lease, 8, [markup]);
  await lease.quarantine({ code: 'engine_failure', message: markup, at: new Date().toISOString() });
  await page.goto(`${api.url}/ui/#/jobs`);
  await page.getByRole('row').filter({ hasText: 'markup-001' }).getByText(markup).waitFor();
  await openJob(page, api, 'markup-001');
  await page.getByRole('heading', { name: 'engine_failure' }).waitFor();
  await page.getByRole('heading', { name: 'Result' }).waitFor();
  assert.equal(await textOnceIs(page.getByRole('region', { name: 'Written text' }), markup), markup);
  assert.equal(await textOnceIs(page.locator('.failure p').first(), markup), markup);
  assert.equal(await page.locator('main img, main script').count(), 0);
  assert.equal(await page.title(), 'markup-001 · longhaul');
  await screenshot(page, 'job-failed');
});

test('a failed job is redriven by its button, and a job is cancelled behind a question', {
  skip: noBrowser,
}, async () => {
  const { page } = opened;
  await openJob(page, api, 'markup-001');
  await page.getByRole('button', { name: 'Redrive' }).click();
  await page.locator('.title').getByText('queued').waitFor();
  assert.equal((await cluster.ledger.readHead('markup-001'))?.generation, 1);
  await page.getByRole('button', { name: 'Cancel…' }).click();
  assert.equal(
    await focusedOnceIs(page, 'button Keep it'),
    'button Keep it',
    'the dialog has the focus, on what does no harm',
  );
  await page.keyboard.press('Escape');
  assert.equal((await cluster.ledger.readHead('markup-001'))?.status, 'queued');
  await page.getByRole('button', { name: 'Cancel…' }).click();
  await page.getByRole('button', { name: 'Cancel the job' }).click();
  await page.locator('.title').getByText('cancelled').waitFor();
});

test('everything is reached by keyboard, in the order in which it is read', { skip: noBrowser }, async () => {
  const { page } = opened;
  await page.goto(`${api.url}/ui/#/states`);
  await page.getByRole('heading', { name: 'States' }).waitFor();
  await page.goto(`${api.url}/ui/#/jobs`);
  await page.getByRole('row').nth(1).waitFor();
  await page.reload();
  await page.getByRole('row').nth(1).waitFor();
  const walked: string[] = [];
  for (let i = 0; i < 7; i++) {
    await page.keyboard.press('Tab');
    walked.push(await focused(page));
  }
  assert.deepEqual(walked.slice(0, 5), [
    'link Skip to content',
    'link longhaul',
    'link Jobs',
    'link States',
    'button Forget key',
  ]);
  assert.match(walked[5]!, /^radio All \d+$/);
  assert.match(walked[6]!, /^link (markup-001|live-back-1)$/);
  const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineWidth');
  assert.equal(outline, '3px', 'the focus is seen');
  await page.keyboard.press('Enter');
  assert.match(await focusedOnceIs(page, /^heading /), /^heading /);
});

test('what assistive technology is told: landmarks, one heading of the first level, names for all that is used', {
  skip: noBrowser,
}, async () => {
  const { page } = opened;
  await openJob(page, api, 'live-back-1');
  await page.getByRole('heading', { name: 'Result' }).waitFor();
  const wanted = [
    'main',
    'navigation Main',
    'heading live-back-1',
    'progressbar Progress of the job',
    'region Time line',
    'region Written text',
    'status',
  ];
  const things = await settled(
    () => accessibleThings(page),
    (found) => wanted.every((thing) => found.includes(thing)),
  );
  for (const thing of wanted) assert.ok(things.includes(thing), `${thing} in ${things.join(', ')}`);
  const nameless = things.filter((thing) => /^(button|link|textbox|radio|slider|progressbar|img|image)$/.test(thing));
  assert.deepEqual(nameless, []);
  assert.equal(await page.locator('h1').count(), 1);
  assert.equal(
    await page.locator('[aria-live], [role=status], [role=alert], [role=log]').count(),
    4,
    'few regions speak',
  );
});

test('every text has a contrast of 4.5 or more, light and dark', { skip: noBrowser }, async () => {
  const { page } = opened;
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    for (const place of ['jobs', 'jobs/live-back-1', 'jobs/markup-001', 'states']) {
      await page.goto(`${api.url}/ui/#/${place}`);
      await page.locator('.jobs tr, .facts, .happenings li, .view > .hint').first().waitFor({ state: 'attached' });
      assert.deepEqual(await page.evaluate(contrast), [], `${place}, ${colorScheme}`);
      await screenshot(page, `${place.replace('/', '-')}-${colorScheme}`);
    }
  }
  await page.emulateMedia({ colorScheme: null });
});

test('a server that is slow, away or closing is told, and the page goes on by itself', {
  skip: noBrowser,
}, async () => {
  const { page } = opened;
  const jobId = 'slow-00001';
  const lease = await takenJob(jobId);
  await commitTexts(lease, 8, ['first ']);
  let away = true;
  await page.route('**/v1/jobs/**', async (route) => {
    if (away) return route.abort('connectionrefused');
    await new Promise((resolve) => setTimeout(resolve, 700));
    return route.continue();
  });
  await openJob(page, api, jobId);
  await page.getByText('Not live: the server does not answer').waitFor();
  away = false;
  await page.getByRole('region', { name: 'Written text' }).getByText('first').waitFor();
  await page.getByText('Not live').waitFor({ state: 'hidden' });
  await page.unrouteAll({ behavior: 'ignoreErrors' });
  await lease.complete({ ...completion, usage: { ...completion.usage, outputTokens: 1 } });
  await page.getByRole('heading', { name: 'Result' }).waitFor();
  // What the browser says of requests that were refused is no complaint about the page.
  opened.complaints.splice(
    0,
    opened.complaints.length,
    ...opened.complaints.filter((text) => !/ERR_CONNECTION_REFUSED/.test(text)),
  );
});

test('the browser complained of nothing: no error, and nothing that the policy had to stop', {
  skip: noBrowser,
}, () => {
  assert.deepEqual(opened.complaints, []);
});
