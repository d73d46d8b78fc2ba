import { refuseUnknownOptions } from '../options.ts';
import type { Clock, Logger, Store } from '../stores/store.ts';
import type { Unpriced } from '../usage/cost.ts';
import { isAmountUsd } from '../usage/money.ts';
import type { PriceBook } from '../usage/pricing.ts';
import type { Pepper } from './secret.ts';
import type { WebhookOptions } from './webhooks/webhook-options.ts';

/** Options of {@link createVirtualKeys}. */
export interface CreateVirtualKeysOptions {
  store: Store;
  /** What models cost; see {@link priceBook}. Without prices no call has a cost, and none passes a budget. */
  prices?: PriceBook | undefined;
  /**
   * A model without a price: `'reject'` it, `'allow'` it at no cost, or price it by the rates given.
   * @defaultValue rejected where a budget applies, else allowed
   */
  unpriced?: Unpriced | undefined;
  /** What secrets begin with. LiteLLM accepts only `sk-…`. @defaultValue 'sk-llm' */
  secretPrefix?: string | undefined;
  /** Keys the stored hashes, so that a stolen table cannot be tried offline. Keep old ones: keys hashed with them stay. */
  pepper?: Pepper | undefined;
  /**
   * Whether secrets that were made elsewhere and imported open their keys: any text that begins with `sk-` is then looked
   * up. While a mirror is attached they do in any case. @defaultValue false
   */
  importedSecrets?: boolean | undefined;
  /** What a new key gets where its input says nothing: fields of key input, expiry as `expiresInDays`. */
  defaults?: { readonly [field: string]: unknown } | undefined;
  /** The most a key may have, by field. A limit under a maximum cannot be unlimited. */
  maximums?: { readonly [field: string]: unknown } | undefined;
  maxActiveKeysPerOwner?: number | undefined;
  /**
   * How long a record may be used without asking the store. What matters for admission is in force at once all the same:
   * the admission itself finds out. `0` turns the cache off. @defaultValue 10,000
   */
  cacheMs?: number | undefined;
  /** How long a hold lasts that nobody renews. @defaultValue 120,000 */
  leaseMs?: number | undefined;
  /** Whether a hold that was never settled is charged by its estimate. @defaultValue 'charge' */
  onAbandoned?: 'charge' | 'release' | undefined;
  /** How long the store may take for an answer; twenty times as long for lists and sums of usage. @defaultValue 500 */
  storeTimeoutMs?: number | undefined;
  /** Written into a body that names no cap for its output, and reserved; absent: the model's longest output is reserved. */
  defaultOutputCap?: number | undefined;
  /** Reserved where an estimate is zero or unknown. @defaultValue 1 */
  minimumTokens?: number | undefined;
  /** Reserved for what a provider keeps for the caller: earlier responses, cached content, files. @defaultValue 4,096 */
  stateTokens?: number | undefined;
  /** Where alerts are posted to, signed. */
  webhooks?: readonly WebhookOptions[] | undefined;
  /** Epoch milliseconds; replaces every clock, in tests. */
  clock?: Clock | undefined;
  /** @defaultValue `console` */
  logger?: Logger | undefined;
}

type Defaulted =
  | 'secretPrefix'
  | 'importedSecrets'
  | 'cacheMs'
  | 'leaseMs'
  | 'onAbandoned'
  | 'storeTimeoutMs'
  | 'minimumTokens'
  | 'stateTokens'
  | 'webhooks'
  | 'logger'
  | 'defaults'
  | 'maximums';

/** The options after their check: nothing that has a default is missing. */
export type ServiceOptions = Omit<CreateVirtualKeysOptions, Defaulted> & {
  readonly [option in Defaulted]: NonNullable<CreateVirtualKeysOptions[option]>;
};

const defaultValues = {
  secretPrefix: 'sk-llm',
  importedSecrets: false,
  cacheMs: 10_000,
  leaseMs: 120_000,
  onAbandoned: 'charge',
  storeTimeoutMs: 500,
  minimumTokens: 1,
  stateTokens: 4096,
  defaults: {},
  maximums: {},
  webhooks: [],
  logger: console,
} as const;

const otherNames = ['store', 'prices', 'unpriced', 'pepper', 'maxActiveKeysPerOwner', 'defaultOutputCap', 'clock'];

/** The least and the most that options of time and size may be. */
const ranges: { readonly [option: string]: readonly [number, number] } = {
  cacheMs: [0, 3_600_000],
  leaseMs: [1000, 24 * 3_600_000],
  storeTimeoutMs: [1, 60_000],
  minimumTokens: [0, 1_000_000],
  stateTokens: [0, 10_000_000],
  defaultOutputCap: [1, 10_000_000],
  maxActiveKeysPerOwner: [0, 1_000_000],
};

/** @throws TypeError naming the option that is unknown, missing or of no use */
export function checkServiceOptions(given: CreateVirtualKeysOptions): ServiceOptions {
  const where = 'createVirtualKeys';
  if (typeof given !== 'object' || given === null) throw new TypeError(`${where}: give it options, such as { store }`);
  refuseUnknownOptions(where, given, [...Object.keys(defaultValues), ...otherNames]);
  const { store, prices, onAbandoned, unpriced, clock, logger } = given;
  if (typeof store?.admit !== 'function' || typeof store.findKey !== 'function') {
    throw new TypeError(`${where}: store must be a store, such as memoryStore()`);
  }
  if (prices !== undefined && typeof prices?.find !== 'function') {
    throw new TypeError(`${where}: prices must be a price book, such as priceBook({ 'gpt-4o': { … } })`);
  }
  if (onAbandoned !== undefined && onAbandoned !== 'charge' && onAbandoned !== 'release') {
    throw new TypeError(`${where}: onAbandoned must be 'charge' or 'release'`);
  }
  if (unpriced !== undefined && !isUnpriced(unpriced)) {
    throw new TypeError(`${where}: unpriced must be 'reject', 'allow' or { inputPerMillion, outputPerMillion } in USD`);
  }
  if (given.importedSecrets !== undefined && typeof given.importedSecrets !== 'boolean') {
    throw new TypeError(`${where}: importedSecrets must be true or false`);
  }
  if (clock !== undefined && typeof clock !== 'function') throw new TypeError(`${where}: clock must be a function`);
  if (logger !== undefined && (typeof logger?.warn !== 'function' || typeof logger.error !== 'function')) {
    throw new TypeError(`${where}: logger must have warn and error, as console has`);
  }
  for (const [option, [least, most]] of Object.entries(ranges)) {
    const value = given[option as keyof CreateVirtualKeysOptions];
    if (value === undefined) continue;
    if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) {
      throw new TypeError(`${where}: ${option} must be a whole number from ${least} to ${most}`);
    }
  }
  const defined = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return { ...defaultValues, ...defined, store };
}

function isUnpriced(value: unknown): value is Unpriced {
  if (value === 'reject' || value === 'allow') return true;
  if (typeof value !== 'object' || value === null) return false;
  const { inputPerMillion, outputPerMillion, ...others }: { [field: string]: unknown } = { ...value };
  return isRate(inputPerMillion) && isRate(outputPerMillion) && Object.keys(others).length === 0;
}

function isRate(value: unknown): boolean {
  return typeof value === 'number' && isAmountUsd(value);
}
