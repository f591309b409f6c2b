import { z } from 'zod';
import { runProgram } from '../checks/program.ts';
import { judged, type Result, skipped } from '../checks/report.ts';

const Report = z.object({
  vulnerabilities: z.record(
    z.string(),
    z.object({
      severity: z.enum(['info', 'low', 'moderate', 'high', 'critical']),
      range: z.string(),
      nodes: z.array(z.string()),
    }),
  ),
});

/** npm's answer where it has none: a registry without that service, no way to it. */
const Refusal = z.object({ message: z.string() });

/**
 * Asks the registry for known holes in the packages. One that is high or critical, in something that runs in production, is a
 * fault; the others are counted. A registry that does not answer is no pass: the check is skipped, with its words.
 */
export async function checkAudit(production: ReadonlySet<string>, npm: readonly string[] = ['npm']): Promise<Result> {
  const [program, ...args] = [...npm, 'audit', '--json'];
  // npm ends with 1 where it found something.
  const { stdout: said } = await runProgram(program!, args);
  const answer = parsed(said);
  const report = Report.safeParse(answer);
  if (!report.success) {
    const refusal = Refusal.safeParse(answer);
    const words = refusal.success ? refusal.data.message : said.trim().slice(-300) || 'npm said nothing';
    return skipped('known holes', `not available: ${words}`);
  }
  const holes = Object.entries(report.data.vulnerabilities);
  const grave = holes.filter(
    ([, { severity, nodes }]) => /high|critical/.test(severity) && nodes.some((node) => production.has(node)),
  );
  const faults = grave.map(([name, { severity, range }]) => `${name} ${range}: ${severity}; "npm audit" says more`);
  return judged('known holes', `${holes.length} known, ${grave.length} of them grave and in production`, faults);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
