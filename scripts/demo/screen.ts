import { MultiBar, Presets, type SingleBar } from 'cli-progress';

/** What the demo shows while it runs: bars on a terminal, a line every few seconds elsewhere. */
export class Screen {
  private readonly bars: MultiBar | null;
  private readonly rows = new Map<string, { bar: SingleBar | null; shownAt: number }>();

  constructor() {
    const format = '  {name} {bar} {percentage}% | {rate} tokens/s | {where}';
    this.bars = process.stdout.isTTY
      ? new MultiBar({ format, hideCursor: true, stream: process.stdout }, Presets.shades_classic)
      : null;
  }

  progress(name: string, fraction: number, rate: number, where: string): void {
    const row = this.rows.get(name) ?? { bar: this.bars?.create(1000, 0) ?? null, shownAt: 0 };
    this.rows.set(name, row);
    if (row.bar !== null) {
      row.bar.update(Math.round(fraction * 1000), { name: name.padEnd(9), rate: Math.round(rate), where });
    } else if (Date.now() - row.shownAt > 5000) {
      row.shownAt = Date.now();
      console.log(
        `  ${name.padEnd(9)} ${(fraction * 100).toFixed(0).padStart(3)}%  ${Math.round(rate)} tokens/s  ${where}`,
      );
    }
  }

  say(text: string): void {
    if (this.bars !== null && this.rows.size > 0) this.bars.log(`${text}\n`);
    else console.log(text);
  }

  done(): void {
    this.bars?.stop();
    this.rows.clear();
  }
}
