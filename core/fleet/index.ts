export * from './port.ts';
export { type FleetOptions, openFleet } from './redis-fleet.ts';
