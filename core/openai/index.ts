export { ChatBody } from './chat-body.ts';
export { CompletionBody } from './completion-body.ts';
export { parseInputRef } from './input-ref.ts';
export { InvalidBody, parseBody } from './invalid-body.ts';
export * from './plan.ts';
export * from './response.ts';
export { type ScoredTokens, scoredChoice, scoredTokens } from './scored.ts';
export { AllowedSources, allows } from './source-policy.ts';
