import { Redis } from 'ioredis';
import { type Act, knownAdmissions } from './admissions.ts';
import { flexibleLimiter } from './postgres/peers.ts';
import { connect, openPostgres } from './postgres/server.ts';
import { flexibleLimits } from './redis/peers.ts';
import { openRedis } from './redis/server.ts';

/** Each side opens its own client of the server, and keeps it until its process ends. */
const sides = {
  redis: async (url, keyIds) => knownAdmissions(openRedis(new Redis(url)), keyIds).admit,
  'RLF on redis': async (url, keyIds) => flexibleLimits(new Redis(url), keyIds).one,
  postgres: async (url, keyIds) => knownAdmissions(openPostgres(connect(url, 4)), keyIds).admit,
  'RLF on postgres': async (url, keyIds) => flexibleLimiter(connect(url, 4), keyIds),
} satisfies { readonly [side: string]: (url: string, keyIds: readonly string[]) => Promise<Act> };

/** Who asks for admissions in a process of its own. */
export type Side = keyof typeof sides;

export function openAct(side: Side, url: string, keyIds: readonly string[]): Promise<Act> {
  return sides[side](url, keyIds);
}
