/** What a million tokens cost, by what is assumed of a machine and of how it is used. */
export interface CostAssumptions {
  /** Dollars of one worker's machine. */
  readonly pricePerHour: number;
  /** Read by one worker that has enough to do. */
  readonly tokensPerSecond: number;
  /** Of the paid time, the share with work in hand: 1 − the GPU idle share of a simulated or a real day. */
  readonly busyShare: number;
  /** Of the tokens read, the share that was read twice; and of the time, what commits take. */
  readonly overheadShare: number;
  readonly commitTokens: number;
  /** Dollars of a PUT; a commit makes `putsPerCommit`. */
  readonly pricePerPut: number;
  readonly putsPerCommit: number;
}

export interface CostPerMillion {
  readonly machines: number;
  readonly requests: number;
  readonly total: number;
}

/** S3's list price of a PUT in us-east-1, and the writes of a commit: checkpoint, output segment, head. */
export const s3Requests = { pricePerPut: 5e-6, putsPerCommit: 3, commitTokens: 65_536 } as const;

/**
 *   machines = 10^6 · price / (3600 · tokens/s · busy · (1 − overhead))
 *   requests = 10^6 / tokens a commit · PUTs a commit · price of a PUT
 *
 * @throws Error where nothing would ever be read.
 */
export function costPerMillion(a: CostAssumptions): CostPerMillion {
  const rate = a.tokensPerSecond * a.busyShare * (1 - a.overheadShare);
  if (!(rate > 0))
    throw new Error(
      `no token is read at ${a.tokensPerSecond} tokens/s, ${a.busyShare} of the time, with ${a.overheadShare} overhead`,
    );
  const machines = (1e6 * a.pricePerHour) / (3600 * rate);
  const requests = (1e6 / a.commitTokens) * a.putsPerCommit * a.pricePerPut;
  return { machines, requests, total: machines + requests };
}

/** Machines by their makers' dense bf16 peak; prices are assumed but for g5.xlarge on demand, and change by region and day. */
export const machines = [
  { name: 'A10G, g5.xlarge', peakTflops: 70, spot: 0.45, onDemand: 1.006 },
  { name: 'L40S, g6e.xlarge', peakTflops: 362, spot: 0.85, onDemand: 1.861 },
  { name: 'H100, p5.4xlarge', peakTflops: 989, spot: 2.5, onDemand: 4.5 },
] as const;

const gflopPerToken = 13.455;

/** Tokens a second at a share of the peak. */
export const tokensPerSecondAt = (peakTflops: number, share: number) => (peakTflops * 1000 * share) / gflopPerToken;

/** How busy: always, as the simulated day, less, hardly. */
export const docBusyShares = [1, 0.6, 0.3, 0.1] as const;

export function costRows(busyShares: readonly number[], overheadShare = 0.01): string[][] {
  const dollars = (value: number) => (value < 0.1 ? value.toFixed(3) : value.toFixed(2));
  const head = [
    'machine',
    'tokens/s',
    'market',
    '$/h',
    ...busyShares.map((busy) => `busy ${Math.round(busy * 100)} %`),
  ];
  const rows = machines.flatMap(({ name, peakTflops, spot, onDemand }) =>
    (['spot', 'on-demand'] as const).map((market) => {
      const pricePerHour = market === 'spot' ? spot : onDemand;
      const tokensPerSecond = Math.round(tokensPerSecondAt(peakTflops, 0.5) / 100) * 100;
      const costs = busyShares.map((busyShare) =>
        dollars(costPerMillion({ pricePerHour, tokensPerSecond, busyShare, overheadShare, ...s3Requests }).total),
      );
      return [name, String(tokensPerSecond), market, String(pricePerHour), ...costs];
    }),
  );
  return [head, ...rows];
}
