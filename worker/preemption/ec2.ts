import { z } from 'zod';
import { ask, bodyOf, parseAnswer } from './endpoint.ts';
import type { Endpoint } from './poll.ts';
import type { PreemptionNotice } from './port.ts';

/** What AWS names as the longest life of a token, and when we take a new one: well before its end. */
const tokenSeconds = 21_600;
const renewAfterMs = (tokenSeconds * 1000) / 2;

const InstanceAction = z.object({ action: z.string().max(64), time: z.iso.datetime() });
const Rebalance = z.object({ noticeTime: z.iso.datetime() });

/**
 * The instance metadata service of EC2, version 2 alone: every question carries a session token. Asks for
 *
 *   spot/instance-action                      leave: the spot instance is terminated, stopped or hibernated
 *   autoscaling/target-lifecycle-state        leave, where `Terminated`
 *   events/recommendations/rebalance          soon: the risk of an interruption has risen
 *
 * A container needs a hop limit of 2 or the host's network, else no token reaches it.
 */
export function ec2Endpoint(base: string, now: () => number): Endpoint {
  const metadata = `${base}/latest/meta-data`;
  let token: { readonly text: string; readonly takenAt: number } | null = null;

  const takeToken = async (signal: AbortSignal): Promise<string> => {
    if (token !== null && now() - token.takenAt < renewAfterMs) return token.text;
    const url = `${base}/latest/api/token`;
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': String(tokenSeconds) };
    const takenAt = now();
    const { status, body } = await ask({ url, method: 'PUT', headers }, signal);
    if (status !== 200 || !/^[\x21-\x7e]{1,1024}$/.test(body)) {
      throw new Error(`${url} gave no token: status ${status}, ${body.length} bytes`);
    }
    token = { text: body, takenAt };
    return body;
  };

  /** Null where it is not set. A token that is refused has run out, and a new one is taken at once. */
  const read = async (path: string, signal: AbortSignal): Promise<string | null> => {
    const url = `${metadata}/${path}`;
    const send = async () => ask({ url, headers: { 'x-aws-ec2-metadata-token': await takeToken(signal) } }, signal);
    let answer = await send();
    if (answer.status === 401) {
      token = null;
      answer = await send();
    }
    return bodyOf(url, answer);
  };

  const readers: readonly ((signal: AbortSignal) => Promise<PreemptionNotice | null>)[] = [
    async (signal) => {
      const body = await read('spot/instance-action', signal);
      if (body === null) return null;
      const { action, time } = parseAnswer(`${metadata}/spot/instance-action`, body, InstanceAction);
      return { action: 'leave', what: `spot instance action ${action}`, deadline: new Date(time) };
    },
    async (signal) => {
      const body = await read('autoscaling/target-lifecycle-state', signal);
      if (body?.trim() !== 'Terminated') return null;
      return { action: 'leave', what: 'the auto scaling group terminates the instance', deadline: null };
    },
    async (signal) => {
      const body = await read('events/recommendations/rebalance', signal);
      if (body === null) return null;
      parseAnswer(`${metadata}/events/recommendations/rebalance`, body, Rebalance);
      return { action: 'soon', what: 'rebalance recommendation', deadline: null };
    },
  ];

  return {
    name: 'ec2',
    everyMs: 1000,
    timeoutMs: 2000,
    async ask(signal) {
      await takeToken(signal);
      // Each is heard for itself: garbage behind one path must not silence the others.
      const answers = await Promise.allSettled(readers.map((reader) => reader(signal)));
      for (const answer of answers) if (answer.status === 'fulfilled' && answer.value !== null) return answer.value;
      for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
      return null;
    },
  };
}
