import { apiKey } from '@better-auth/api-key';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import type { Knex } from 'knex';
import type pg from 'pg';
import { RateLimiterPostgres } from 'rate-limiter-flexible';
import type { Act } from '../admissions.ts';
import { scattered, sixLimits } from '../sample-keys.ts';

export const oneLimit = 'RLF one limit';
export const verifyApiKey = 'verifyApiKey';

/** One limit of rate-limiter-flexible for keys of these ids. */
export function flexibleLimiter(knex: Knex, keyIds: readonly string[]): Promise<Act> {
  const order = scattered(keyIds.length);
  return new Promise((resolve, reject) => {
    const options = { storeClient: knex, storeType: 'knex', points: sixLimits.rpmLimit, duration: 60 };
    const limiter: RateLimiterPostgres = new RateLimiterPostgres(options, (error?: Error) => {
      if (error) reject(error);
      else resolve(async (index) => (await limiter.consume(keyIds[order(index)] ?? '')).remainingPoints > 0);
    });
  });
}

/** The verification of `@better-auth/api-key`, with its limit of requests: of one key. */
export async function betterAuthKey(pool: pg.Pool): Promise<Act> {
  const rateLimit = { enabled: true, maxRequests: sixLimits.rpmLimit, timeWindow: 60_000 };
  const options = {
    database: pool,
    baseURL: 'http://127.0.0.1',
    secret: 'a secret of the bench that protects nothing',
    emailAndPassword: { enabled: true },
    plugins: [apiKey({ rateLimit })],
  };
  await (await getMigrations(options)).runMigrations();
  const auth = betterAuth(options);
  const body = { name: 'Bench', email: 'bench@example.com', password: 'a password of the bench' };
  const { user } = await auth.api.signUpEmail({ body });
  const { key } = await auth.api.createApiKey({ body: { userId: user.id } });
  return async () => (await auth.api.verifyApiKey({ body: { key } })).valid;
}
