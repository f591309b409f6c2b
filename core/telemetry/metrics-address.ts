import { z } from 'zod';

export interface MetricsAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

const loopback = '127.0.0.1';

/** `host:port`, `[address]:port`, or a port alone, which is one of the loopback address. */
export const MetricsAddress = z.string().transform((text, context): MetricsAddress => {
  const [, host, ipv6, digits] = /^(?:(?:([^:[\]\s/]+)|\[([0-9a-fA-F:.]+)\])?:)?(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits !== undefined && port <= 65_535) return { host: host ?? ipv6 ?? loopback, port };
  context.addIssue({ code: 'custom', message: 'must be host:port, [address]:port or a port, such as 0.0.0.0:9464' });
  return z.NEVER;
});
