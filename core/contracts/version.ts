/** Of all workspaces: their package.json say the same. */
export const version = '0.1.0';
