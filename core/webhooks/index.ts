export { OUTBOX_BYTES, OutboxEntry, WebhookUrl, webhookKeys } from './event.ts';
export { webhookSecret } from './secret.ts';
