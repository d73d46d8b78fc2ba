import { createVirtualKeys } from '../../lib/keys/create-virtual-keys.ts';
import type { AdmitInput, AdmitResult } from '../../lib/keys/direct-admissions.ts';
import type { KeyInput } from '../../lib/keys/key-input.ts';
import type { CreateVirtualKeysOptions } from '../../lib/keys/service-options.ts';
import type { VirtualKeys } from '../../lib/keys/virtual-keys.ts';
import { memoryStore } from '../../lib/stores/memory/memory-store.ts';
import type { Hold, Logger, Store } from '../../lib/stores/store.ts';
import { type ManualClock, manualClock } from './clock.ts';

export interface TestLog extends Logger {
  readonly lines: string[];
}

export function testLog(): TestLog {
  const lines: string[] = [];
  return {
    lines,
    warn: (message) => void lines.push(`warn: ${message}`),
    error: (message) => void lines.push(`error: ${message}`),
  };
}

export interface TestService {
  readonly keys: VirtualKeys;
  readonly store: Store;
  readonly clock: ManualClock;
  readonly log: TestLog;
}

/** The real service on a memory store, with a clock and a log of its own. */
export function testService(options: Partial<CreateVirtualKeysOptions> & { clock?: ManualClock } = {}): TestService {
  const { store = memoryStore(), clock = manualClock() } = options;
  const log = testLog();
  return { keys: createVirtualKeys({ logger: log, ...options, store, clock }), store, clock, log };
}

/** A key for every model, with the fields that matter to the test. */
export async function createKey({ keys }: Pick<TestService, 'keys'>, fields: Partial<KeyInput> = {}) {
  return keys.create({ name: 'Test', models: ['*'], ...fields });
}

/** A request of one token at no cost, with what matters to the test. */
export function call(keyId: string, fields: Partial<AdmitInput> = {}): AdmitInput {
  return { keyId, model: 'gpt-4o', tokens: 1, costUsd: 0, ...fields };
}

export function admittedHold(result: AdmitResult): Hold {
  if (!result.admitted) throw new Error(`Refused: ${JSON.stringify(result)}`);
  return result.hold;
}

/** How many of these calls, all made at once, are admitted. */
export async function admittedOf(results: readonly Promise<AdmitResult>[]): Promise<number> {
  return (await Promise.all(results)).filter(({ admitted }) => admitted).length;
}

/** Admits a call and settles it at this cost. */
export async function spend(keys: VirtualKeys, keyId: string, costUsd: number, fields: Partial<AdmitInput> = {}) {
  const hold = admittedHold(await keys.admit(call(keyId, fields)));
  return keys.settle(hold, { inputTokens: 1, costUsd });
}

/** A store that answers as another one, except where the test says otherwise. */
export function storeWith(store: Store, changes: Partial<Store>): Store {
  return { ...store, ...changes };
}

/** A store of several processes whose notices are all lost. */
export function withoutNotices(store: Store): Store {
  return storeWith(store, { open: (environment) => store.open({ ...environment, onNotice: () => undefined }) });
}
