// One measurement through node-llama-cpp, as a Node program would use it; prints {"rate": tokens a second}.
// Arguments: the package's entry file, GGUF, threads, prefill | decode, tokens (of each sequence), sequences.
import { pathToFileURL } from 'node:url';

const [entry, gguf, threadsText, phase, tokensText, sequencesText] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const [threads, tokens, count] = [Number(threadsText), Number(tokensText), Number(sequencesText)];
const { getLlama } = await import(pathToFileURL(entry).href);
const llama = await getLlama({ build: 'never', gpu: false, maxThreads: threads, logLevel: 'error' });
const model = await llama.loadModel({ modelPath: gguf, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: 8192,
  batchSize: 512,
  sequences: count,
  threads: { ideal: threads, min: threads },
});
const sequences = Array.from({ length: count }, () => context.getSequence());
const ids = (n: number, from: number) => Array.from({ length: n }, (_, i) => 300 + ((from + i * 7919) % 60000));
const decode = async (sequence: (typeof sequences)[number], n: number, from: number) => {
  let seen = 0;
  for await (const _ of sequence.evaluate(ids(4, from), { temperature: 0, yieldEogToken: true }))
    if (++seen >= n) break;
};
let start = performance.now();
if (phase === 'prefill') {
  await sequences[0].evaluateWithoutGeneratingNewTokens(ids(tokens, 1));
} else {
  await decode(sequences[0], 4, 1);
  await sequences[0].clearHistory();
  start = performance.now();
  await Promise.all(sequences.map((sequence, i) => decode(sequence, tokens, i)));
}
console.log(JSON.stringify({ rate: (1000 * tokens * count) / (performance.now() - start) }));
process.exit(0);
