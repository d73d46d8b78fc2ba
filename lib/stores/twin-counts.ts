import type { TwinState } from './store.ts';

/** What counting starts from. */
export const noTwins: { readonly [state in TwinState]: number } = { pending: 0, synced: 0, error: 0, orphaned: 0 };
