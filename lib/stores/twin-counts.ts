import type { TwinState } from './store.ts';

export const twinStates = ['pending', 'synced', 'error', 'orphaned'] as const satisfies readonly TwinState[];

/** What counting starts from. */
export const noTwins: { readonly [state in TwinState]: number } = { pending: 0, synced: 0, error: 0, orphaned: 0 };
