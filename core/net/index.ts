export { isPublicAddress, type Resolve } from './address-guard.ts';
export { type HttpsOptions, type HttpsRequest, readBody, requestPublic } from './https-request.ts';
export { parsePublicUrl, type UrlRules } from './public-url.ts';
export { RequestFailed, type RequestFault } from './request-failed.ts';
