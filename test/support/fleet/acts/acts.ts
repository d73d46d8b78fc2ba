import { callService } from './call-service.ts';
import { endCalling, startCalling } from './calling.ts';
import { live } from './live.ts';
import { readAbandoned, readSpending, readUsage } from './read-usage.ts';

/** What the processes of a fleet can be asked to do. Input and output travel as JSON. */
export const acts = { callService, readUsage, readSpending, readAbandoned, startCalling, endCalling, live };

export type ActName = keyof typeof acts;
/** `null` for acts that need none. */
export type ActInput<A extends ActName> = undefined extends Parameters<(typeof acts)[A]>[1]
  ? null
  : Parameters<(typeof acts)[A]>[1];
export type ActOutput<A extends ActName> = Awaited<ReturnType<(typeof acts)[A]>>;
