/**
 * What a browser may do with the page: run its own modules and styles, and ask its own server. No inline script, no
 * frame around it, no other place; and strings never become markup, which `require-trusted-types-for` holds in the browser.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

export const pageHeaders = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  /** Asked for again each time, and answered by 304 where nothing changed: a new version of the server is seen at once. */
  'cache-control': 'no-cache',
} as const;
