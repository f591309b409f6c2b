export { connectRedis, parseRedisUrl, RedisUrl, redactUrl } from './connection.ts';
export { findRedisServer, type PrivateRedis, type PrivateRedisOptions, startPrivateRedis } from './private-server.ts';
