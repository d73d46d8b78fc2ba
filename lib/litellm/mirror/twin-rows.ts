import Joi from 'joi';
import type { TwinRow, TwinState } from '../../stores/store.ts';
import type { MirrorStore } from './mirror-store.ts';

/** How far the calls that were made there with a secret are in the usage record of its key. */
export interface PulledSpend {
  /** USD that was spent there before the key was ours, until it is in the record; `null`: nothing is left of it. */
  readonly openingUsd: number | null;
  /** USD that LiteLLM had counted when it was last asked. */
  readonly seenUsd: number;
  /** When it was first asked and had counted that much. */
  readonly seenSinceMs: number;
  /** Every call that had ended before this moment is in the record. */
  readonly countedUntilMs: number;
}

/** A secret whose twin was removed, and whose last calls may not be in the usage record of its key. */
export interface PartedSecret {
  readonly token: string;
  readonly partedAtMs: number;
  readonly pulled: PulledSpend | null;
}

/** One secret of a key, and the twin that it has. */
export interface TwinEntry {
  /** As the key's record has it. */
  readonly secretHash: string;
  /** How LiteLLM knows it: SHA-256 in hex. */
  readonly token: string;
  readonly alias: string;
  /** The key's alias that this one stands for; `null`: it gave that one to its successor. */
  readonly aliasOf: string | null;
  /** The secret in a vault, for as long as LiteLLM has not got it. */
  readonly sealed: string | null;
  /** Somebody creates or rotates the key until then, by the store's clock: the record may be about to name this secret. */
  readonly preparedUntilMs: number | null;
  /** `null`: LiteLLM was never asked. */
  readonly pulled: PulledSpend | null;
}

/** What a mirror knows of one key. */
export interface TwinRecord {
  readonly keyId: string;
  readonly state: TwinState;
  readonly entries: readonly TwinEntry[];
  /** Until the spend of LiteLLM has been pulled; the latest ones. */
  readonly parted: readonly PartedSecret[];
  readonly error: string | null;
  readonly warnings: readonly string[];
  readonly attempts: number;
  readonly syncedAtMs: number | null;
  /** Since when LiteLLM counts the spend of a budget whose periods only we know; `null`: there is none. */
  readonly spendSinceMs: number | null;
  /** The spend of the key was set to zero, and that of its twins has yet to be. */
  readonly mustResetSpend: boolean;
  /** Until then, by the store's clock, LiteLLM may still carry out what it was sent and has not answered. */
  readonly unsettledUntilMs: number | null;
  /** Of its row; 0: there is none yet. */
  readonly version: number;
}

export function newTwin(keyId: string): TwinRecord {
  const nothing = { entries: [], parted: [], error: null, warnings: [], attempts: 0, syncedAtMs: null };
  const spend = { spendSinceMs: null, mustResetSpend: false };
  return { keyId, state: 'pending', ...nothing, ...spend, unsettledUntilMs: null, version: 0 };
}

/** Whether nothing is known of the key yet, or nothing any more. */
export function isNewTwin({ version }: TwinRecord): boolean {
  return version === 0;
}

/** How long after a look began LiteLLM may carry out what was sent during it: as long again as it can last. */
export function unsettledMs(leaseMs: number): number {
  return leaseMs * 2;
}

/** With an entry in place of the one of the same secret, or with one more. */
export function withEntry(twin: TwinRecord, entry: TwinEntry): TwinRecord {
  const isKnown = twin.entries.some(({ token }) => token === entry.token);
  const entries = isKnown
    ? twin.entries.map((other) => (other.token === entry.token ? entry : other))
    : [...twin.entries, entry];
  return { ...twin, entries };
}

/** What is kept of twins. A row that cannot be read is as good as none. */
export interface TwinRows {
  find(keyId: string): Promise<TwinRecord | undefined>;
  findAll(keyIds: readonly string[]): Promise<readonly TwinRecord[]>;
  /** Stores it over the version that it was made from. `false`: it was changed meanwhile. */
  put(twin: TwinRecord): Promise<boolean>;
  /** Changes what is there, over whatever others change meanwhile; what comes back as it was given is not stored. */
  change(keyId: string, change: (twin: TwinRecord) => TwinRecord): Promise<void>;
  remove(twin: TwinRecord): Promise<boolean>;
}

const maxConflicts = 20;

const text = Joi.string();
const textOrNull = Joi.string().allow(null).required();
const numberOrNull = Joi.number().allow(null).required();
const pulled = Joi.object({
  openingUsd: numberOrNull,
  seenUsd: Joi.number().required(),
  seenSinceMs: Joi.number().required(),
  countedUntilMs: Joi.number().required(),
})
  .allow(null)
  .required();
const token = text.hex().length(64).required();
const detailsSchema = Joi.object<Omit<TwinRecord, 'keyId' | 'state' | 'version'>>({
  entries: Joi.array()
    .items(
      Joi.object({
        secretHash: text.required(),
        token,
        // LiteLLM takes an empty one for a name like any other.
        alias: text.allow('').required(),
        aliasOf: textOrNull,
        sealed: textOrNull,
        preparedUntilMs: numberOrNull,
        pulled,
      }),
    )
    .required(),
  parted: Joi.array()
    .items(Joi.object({ token, partedAtMs: Joi.number().required(), pulled }))
    .required(),
  error: textOrNull,
  warnings: Joi.array().items(text).required(),
  attempts: Joi.number().required(),
  syncedAtMs: numberOrNull,
  spendSinceMs: numberOrNull,
  mustResetSpend: Joi.boolean().required(),
  unsettledUntilMs: numberOrNull,
}).required();

export function createTwinRows(store: MirrorStore): TwinRows {
  async function findAll(keyIds: readonly string[]): Promise<readonly TwinRecord[]> {
    if (keyIds.length === 0) return [];
    return (await store.findTwins(keyIds)).map(readRow);
  }

  async function find(keyId: string): Promise<TwinRecord | undefined> {
    return (await findAll([keyId]))[0];
  }

  async function put({ keyId, state, version, ...details }: TwinRecord): Promise<boolean> {
    const { outcome } = await store.putTwin({ keyId, state, details, version: version + 1 });
    return outcome === 'stored';
  }

  return {
    find,
    findAll,
    put,
    async change(keyId, change) {
      for (let conflicts = 0; conflicts < maxConflicts; conflicts += 1) {
        const twin = (await find(keyId)) ?? newTwin(keyId);
        const changed = change(twin);
        if (changed === twin || (await put(changed))) return;
      }
      throw new Error('What is known of a twin was changed too often to be changed once more');
    },
    async remove({ keyId, version }) {
      if (version === 0) return true;
      return (await store.removeTwin(keyId, version)).outcome === 'removed';
    },
  };
}

function readRow({ keyId, state, version, details }: TwinRow): TwinRecord {
  const { error, value } = detailsSchema.validate(details, { convert: false });
  if (error !== undefined) return { ...newTwin(keyId), state: 'error', error: 'Its row cannot be read', version };
  return { keyId, state, version, ...value };
}
