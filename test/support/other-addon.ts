// Preloaded (`node --import`): the engine is the addon that LONGHAUL_TEST_ADDON names, e.g. one built with sanitizers.
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';

const other = process.env['LONGHAUL_TEST_ADDON'];
if (other === undefined) throw new Error('LONGHAUL_TEST_ADDON names no addon');
registerHooks({
  resolve: (specifier, context, next) =>
    specifier.endsWith('/build/longhaul.node')
      ? { url: pathToFileURL(other).href, shortCircuit: true }
      : next(specifier, context),
});
