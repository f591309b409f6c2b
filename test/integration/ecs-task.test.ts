import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ecsTaskId } from '../../worker/ecs-task.ts';
import { startDocumentServer } from '../support/http-server.ts';

test('a worker on ECS is named after its task; without a usable answer it keeps a name of its own', async (t) => {
  const server = await startDocumentServer();
  t.after(() => server.close());
  const answers = (body: string, status = 200) =>
    server.serve('/v4/container/task', { body: Buffer.from(body), ...(status !== 200 && { status }) });
  const ask = () => ecsTaskId(`${server.httpUrl}/v4/container`);
  const arn = 'arn:aws:ecs:eu-central-1:111122223333:task/fleet/158d1c8083dd49d6b527399fd6414f5c';
  answers(JSON.stringify({ Cluster: 'fleet', TaskARN: arn, DesiredStatus: 'RUNNING' }));
  assert.equal(await ask(), '158d1c8083dd49d6b527399fd6414f5c');
  answers(JSON.stringify({ TaskARN: 'arn:aws:ecs:x:1:task/fleet/../../etc "' }));
  assert.equal(await ask(), null);
  answers('<html>');
  assert.equal(await ask(), null);
  answers('{}', 500);
  assert.equal(await ask(), null);
  await server.close();
  assert.equal(await ask(), null);
});
