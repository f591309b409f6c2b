// Preloaded (`node --import`): the engine is the addon that LONGHAUL_TEST_ADDON names, e.g. one built with sanitizers.
import { useAddon } from './use-addon.ts';

const other = process.env['LONGHAUL_TEST_ADDON'];
if (other === undefined) throw new Error('LONGHAUL_TEST_ADDON names no addon');
useAddon(other);
