import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { JobSpec, type ScoreRecord, type Task } from '@longhaul/core/contracts';
import { mobyDick } from '../../scripts/demo/book.ts';
import { type ServedApi, serveApi } from '../support/api-cluster.ts';
import { noBrowser, type OpenedPage, screenshot } from '../support/browser.ts';
import { Cluster, models } from '../support/cluster.ts';
import { commitOf, completion, leaseOf } from '../support/ledger-job.ts';
import { focusedOnceIs, openJob, openRunPage, overflow, settled } from '../support/run-page.ts';

const score: Task = { kind: 'score', segmentTokens: 256, detail: 'text', topLogprobs: 0 };
const contrast = await readFile(new URL('../support/contrast.mjs', import.meta.url), 'utf8');

let cluster: Cluster;
let api: ServedApi;
let opened: OpenedPage;

before(async () => {
  if (noBrowser !== false) return;
  cluster = await Cluster.start({ model: models.tinyEnglish });
  [api] = await Promise.all([serveApi(cluster), cluster.startWorker('w1')]);
  opened = await openRunPage(api);
});
after(async () => {
  await opened?.close();
  await cluster?.close();
});

test('a book that was scored: the pointer and the keys show the passage, zoom, and the places that surprised most', {
  skip: noBrowser,
}, async () => {
  const { page } = opened;
  const book = Buffer.from(await mobyDick())
    .toString('latin1')
    .replaceAll(/[^\n -~]/g, '');
  // A passage that no book has: it is found by its surprise.
  const strange = 'zqxj vvkq wzzx qqpy jxqz kkvw zzxq pqjx '.repeat(6);
  const text = `${book.slice(30_000, 38_000)}${strange}${book.slice(38_000, 44_000)}`;
  const jobId = await cluster.submitText('score-0001', Buffer.from(text), score);
  await openJob(page, api, jobId);
  await page.getByRole('heading', { name: 'Result' }).waitFor({ timeout: 60_000 });

  const strip = page.getByRole('slider', { name: 'Surprise along the document' });
  const box = (await strip.boundingBox())!;
  await page.mouse.move(box.x + (box.width * 8100) / text.length, box.y + 40);
  await page.locator('.passage .here').first().waitFor();
  const passageOnce = (holds: (passage: string) => boolean) =>
    settled(async () => (await page.locator('.passage').textContent()) ?? '', holds);
  assert.match(await passageOnce((passage) => /zqxj vvkq/.test(passage)), /zqxj vvkq/);
  await page.mouse.move(box.x + (box.width * 2000) / text.length, box.y + 40);
  const passage = await passageOnce((found) => found.length > 50 && Math.abs(text.indexOf(found) - 2000) < 200);
  assert.ok(passage.length > 50 && text.includes(passage), 'the passage stands in the document');
  assert.ok(Math.abs(text.indexOf(passage) - 2000) < 200, 'where the pointer is');

  // The keyboard does all that the pointer does.
  await page
    .getByRole('button', { name: /nats a token at/ })
    .first()
    .focus();
  await page.keyboard.press('Enter');
  assert.match(await focusedOnceIs(page, /^slider Surprise/), /^slider Surprise/);
  assert.match((await strip.getAttribute('aria-valuetext'))!, /^Tokens [\d,]+ to [\d,]+: [\d.]+ nats a token/);
  const nowOnce = (holds: (value: number) => boolean) =>
    settled(async () => Number(await strip.getAttribute('aria-valuenow')), holds);
  const at = await nowOnce((value) => value > 7500 && value < 8500);
  assert.ok(at > 7500 && at < 8500, `the strange passage was found at ${at}`);
  await screenshot(page, 'score-zoomed');
  await page.keyboard.press('ArrowRight');
  assert.ok((await nowOnce((value) => value > at)) > at);
  await page.keyboard.press('Home');
  assert.ok((await nowOnce((value) => value <= 1)) <= 1);
  await page.keyboard.press('0');
  await page.keyboard.press('End');
  const last = text.length - 20;
  assert.ok((await nowOnce((value) => value > last)) > last);
  const range = page.locator('.range');
  const whole = await range.textContent();
  await page.keyboard.press('+');
  const rangeOnce = (holds: (range: string | null) => boolean) => settled(() => range.textContent(), holds);
  assert.notEqual(await rangeOnce((found) => found !== whole), whole);
  await page.getByRole('button', { name: 'Show all' }).click();
  assert.equal(await rangeOnce((found) => found === whole), whole);
  await page.mouse.move(box.x + box.width / 3, box.y + 40);
  await strip.scrollIntoViewIfNeeded();
  await screenshot(page, 'score');
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await page.evaluate(contrast), [], colorScheme);
  }
  await screenshot(page, 'score-dark');
  await page.setViewportSize({ width: 320, height: 720 });
  assert.equal(await overflow(page), 0);
  await strip.scrollIntoViewIfNeeded();
  await screenshot(page, 'score-320');
  await page.setViewportSize({ width: 1280, height: 900 });
});

test('a million scored tokens come to be one strip, and the page answers', { skip: noBrowser }, async (t) => {
  const { page } = opened;
  const { ledger } = cluster;
  const jobId = 'million-01';
  const [lines, lineTokens] = [256, 4096];
  const spec = JobSpec.parse({
    v: 1,
    jobId,
    tenant: 'default',
    createdAt: new Date().toISOString(),
    model: 'test',
    task: { ...score, segmentTokens: lineTokens, detail: 'token' },
    document: { kind: 'inline', text: 'x' },
    compression: 'none',
    invalidUtf8: 'error',
    addBos: false,
    priority: 0,
  });
  await ledger.submit(spec);
  const lease = leaseOf(await ledger.acquire(jobId, 'w1'));
  const peak = 700_000;
  for (let line = 0; line < lines; line += 64) {
    const records: ScoreRecord[] = Array.from({ length: 64 }, (_, i) => {
      const from = (line + i) * lineTokens;
      const logprobs = Array.from({ length: lineTokens }, (_, k) => {
        const token = from + 1 + k;
        return Math.abs(token - peak) < 3000 ? -9 : -((token * 7) % 5) / 2;
      });
      const nats = -logprobs.reduce((a, b) => a + b);
      return { from, to: from + lineTokens, scored: lineTokens, nats, logprobs };
    });
    await lease.commit({ ...commitOf(lease, (line + 64) * lineTokens, 64), records });
  }
  await lease.complete({ ...completion, finishReason: 'read', text: null });
  const began = performance.now();
  await openJob(page, api, jobId);
  await page.getByRole('heading', { name: 'Result' }).waitFor({ timeout: 60_000 });
  const strip = page.getByRole('slider', { name: 'Surprise along the document' });
  await page.getByText('tokens 1 to 1,048,576').waitFor();
  t.diagnostic(`1,048,576 tokens were drawn after ${Math.round(performance.now() - began)} ms`);
  const box = (await strip.boundingBox())!;
  await page.mouse.move(box.x + (box.width * peak) / (lines * lineTokens), box.y + 40);
  const peakPlace = /^Tokens (69|70)\d,\d+ to 70\d,\d+: (8\.\d+|9\.000) nats a token/;
  const place = await settled(
    async () => (await page.locator('.place').textContent()) ?? '',
    (found) => peakPlace.test(found),
  );
  assert.match(place, peakPlace);
  for (let i = 0; i < 8; i++) await page.getByRole('button', { name: 'Zoom in' }).click();
  const peakRange = /^tokens (69|70)\d,\d+ to (69|70)\d,\d+$/;
  const range = await settled(
    async () => (await page.locator('.range').textContent()) ?? '',
    (found) => peakRange.test(found),
  );
  assert.match(range, peakRange);
  await screenshot(page, 'score-million');
  const heap: number = await page.evaluate('performance.memory?.usedJSHeapSize ?? 0');
  t.diagnostic(`the page's heap: ${Math.round(heap / 2 ** 20)} MiB`);
  assert.ok(heap < 256 * 2 ** 20);
});

test('the browser complained of nothing', { skip: noBrowser }, () => assert.deepEqual(opened.complaints, []));
