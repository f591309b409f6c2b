import { readFile } from 'node:fs/promises';

/**
 * When a process started, in clock ticks since boot, with the boot's own id: a pid that was given to another process, or
 * that comes from before a reboot, is told apart. Null where there is no such process.
 */
export async function processStart(pid: number): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command name stands in parentheses and may hold anything; field 22 is the 20th after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return null;
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    return `${boot}/${fields[19] ?? ''}`;
  } catch {
    return null;
  }
}

export async function isRunning(pid: number, start: string): Promise<boolean> {
  return (await processStart(pid)) === start;
}
