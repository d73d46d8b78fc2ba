import type { ActInput, ActName } from './acts/acts.ts';
import type { StationSettings } from './station.ts';
import type { StoreAddress } from './store-address.ts';

/** What a process of a fleet is told to do, not before a moment of the machine's clock. */
export type Order = { readonly id: number; readonly beginAtMs: number } & (
  | { readonly type: 'open'; readonly address: StoreAddress; readonly settings: StationSettings }
  | { readonly type: 'act'; readonly act: ActName; readonly input: ActInput<ActName> }
  | { readonly type: 'close' }
);

export type Reply =
  | { readonly type: 'ready' }
  | { readonly type: 'done'; readonly id: number; readonly output: unknown }
  | { readonly type: 'failed'; readonly id: number; readonly message: string; readonly code: string | undefined };
