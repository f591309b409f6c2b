/** Names of what is secret. `LONGHAUL_…_TOKENS` are numbers of tokens of a text. */
export const secretName =
  /^(?!LONGHAUL_[A-Z_]+_TOKENS$).*(SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY|API_KEY|PRIVATE_KEY|CREDENTIAL|REDIS_URL$|_HEADERS$)/i;

/** Whether what a setting of this name holds is secret itself, and not the name of a file. */
export function isSecret(name: string): boolean {
  return secretName.test(name) && !name.endsWith('_FILE');
}

/** Values that are secret by their look, a password in a URL among them. */
export const secretValue = /\bAKIA[0-9A-Z]{16}\b|-----BEGIN|\/\/[^/\s:@]*:[^@/\s]+@|\bhf_[A-Za-z0-9]{20,}/;
