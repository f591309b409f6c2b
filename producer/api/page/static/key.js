const place = 'longhaul-api-key';

/** The key lives as long as the tab: it is never in an address, and no other tab has it. */
export function readKey() {
  return sessionStorage.getItem(place);
}

export function keepKey(key) {
  sessionStorage.setItem(place, key);
}

export function forgetKey() {
  sessionStorage.removeItem(place);
}
