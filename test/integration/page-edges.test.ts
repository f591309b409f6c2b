import assert from 'node:assert/strict';
import { createServer, request as forward } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { type ServedApi, serveApi } from '../support/api-cluster.ts';
import { noBrowser, openBrowser, screenshot } from '../support/browser.ts';
import { Cluster, models } from '../support/cluster.ts';
import { signIn } from '../support/run-page.ts';
import { greedySampling } from '../support/tasks.ts';

const jobId = 'edge-00001';

let cluster: Cluster;
let api: ServedApi;

before(async () => {
  if (noBrowser !== false) return;
  cluster = await Cluster.start({ model: models.tinyEnglish });
  api = await serveApi(cluster);
  await cluster.submitText(jobId, Buffer.from('Call me Ishmael.'), {
    kind: 'generate',
    prompt: null,
    maxNewTokens: 8,
    sampling: greedySampling,
    stop: [],
    topLogprobs: 0,
  });
});
after(() => cluster?.close());

test('a key is asked for, a wrong one is refused, and it is in no address; another tenant sees nothing of a job', {
  skip: noBrowser,
}, async () => {
  const { page, close } = await openBrowser();
  try {
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(`${api.url}/ui/#/jobs/${jobId}`);
    await page.getByLabel('The key that your jobs belong to').fill('lh_wrong');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('the API key is not known').waitFor();
    await page.getByLabel('The key that your jobs belong to').fill(api.otherTenantKey);
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText(`there is no job "${jobId}"`).waitFor();
    assert.ok(asked.every((url) => !url.includes(api.otherTenantKey)));
    assert.ok(
      asked.every((url) => url.startsWith(api.url)),
      'no other place is asked for anything',
    );
    await page.getByRole('button', { name: 'Forget key' }).click();
    await page.getByRole('heading', { name: 'API key' }).waitFor();
    assert.equal(await page.evaluate('sessionStorage.length'), 0);
  } finally {
    await close();
  }
});

test('the page works under a path of its own behind a proxy', { skip: noBrowser }, async () => {
  const prefix = '/reading/room';
  const { port } = new URL(api.url);
  const proxy = createServer((request, response) => {
    const path = request.url?.startsWith(`${prefix}/`) === true ? request.url.slice(prefix.length) : null;
    if (path === null) return response.writeHead(404).end();
    const onward = forward({ port, path, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    return request.pipe(onward);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { page, complaints, close } = await openBrowser();
  try {
    await page.goto(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}${prefix}/`);
    await signIn(page, api.key);
    await page.getByRole('link', { name: jobId }).click();
    await page.getByText('generate on test').waitFor();
    await page.getByRole('img', { name: /^Time line: 0 commits/ }).waitFor();
    assert.deepEqual(complaints, []);
  } finally {
    await close();
    proxy.closeAllConnections();
    proxy.close();
  }
});

test("the raw queue is for operators alone: no key, a tenant's key, and then the board itself", {
  skip: noBrowser,
}, async () => {
  const board = `${api.url}/admin/queues`;
  const basic = (key: string) => ({ authorization: `Basic ${Buffer.from(`operator:${key}`).toString('base64')}` });
  const refused = await fetch(board);
  assert.deepEqual([refused.status, refused.headers.get('www-authenticate')], [401, 'Basic realm="longhaul"']);
  for (const path of ['', '/api/queues', '/static/favicon-32x32.png']) {
    assert.equal((await fetch(`${board}${path}`, { headers: basic(api.key) })).status, 403, path);
    assert.equal((await fetch(`${board}${path}`)).status, 401, path);
  }
  const changed = await fetch(`${board}/api/queues/test/pause`, { method: 'PUT', headers: basic(api.operatorKey) });
  assert.ok(changed.status >= 400, `the board only looks, and answered ${changed.status}`);
  assert.equal((await cluster.queue.counts()).waiting, 1, 'the message is still there');
  const { page, close } = await openBrowser({ httpCredentials: { username: 'operator', password: api.operatorKey } });
  try {
    await page.goto(board);
    await page.getByText('test', { exact: true }).first().waitFor();
    await page.getByText('Loading').waitFor({ state: 'hidden' });
    await screenshot(page, 'raw-queues');
  } finally {
    await close();
  }
});
