import type { Direction } from '../../support/fault-proxy.ts';
import type { FaultRule } from '../../support/s3-server/index.ts';
import type { Write } from '../history.ts';

/** What a proxy is told to do; `latency` in milliseconds, `throttle` in bytes a second. */
export type ProxyOrder =
  | { readonly do: 'freeze'; readonly direction: Direction | 'both' }
  | { readonly do: 'thaw' | 'cut' | 'heal' | 'reset' }
  | { readonly do: 'latency'; readonly ms: number }
  | { readonly do: 'throttle'; readonly bytesPerSecond: number | null };

/** From the driver to the process that holds the store and the network. Each is answered by `done` with its id. */
export type Order =
  | { readonly op: 'rule'; readonly rule: FaultRule; readonly tag: number }
  | { readonly op: 'clear' | 'release' | 'down' | 'up' }
  | { readonly op: 'forget'; readonly prefix: string }
  | { readonly op: 'open-proxy'; readonly port: number }
  /** Answered with the number of pieces and connections that the proxy has disturbed so far. */
  | { readonly op: 'proxy'; readonly port: number; readonly order: ProxyOrder };

export interface Numbered {
  readonly id: number;
  readonly order: Order;
}

/** From that process to the driver. */
export type Report =
  | { readonly kind: 'ready'; readonly store: StoreCoordinates }
  | { readonly kind: 'done'; readonly id: number; readonly value: number; readonly error: string | null }
  /** A rule met a request. */
  | { readonly kind: 'bite'; readonly tag: number; readonly method: string; readonly key: string }
  | { readonly kind: 'write'; readonly write: Write };

export interface StoreCoordinates {
  readonly url: string;
  readonly port: number;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}
