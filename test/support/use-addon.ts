import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';

/** From now on the engine of this process is the addon in `file`; before anything is loaded with it. */
export function useAddon(file: string): void {
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier.endsWith('/build/longhaul.node')
        ? { url: pathToFileURL(file).href, shortCircuit: true }
        : next(specifier, context),
  });
}
