import type { Answer } from '../stores/store.ts';
import type { Admissions } from './admissions.ts';
import type { Guessing } from './guessing.ts';
import type { CheckImport, ImportKey } from './key-import.ts';
import type { Outages } from './outages.ts';
import type { ServiceContext } from './service-context.ts';
import type { Settlements } from './settlements.ts';
import type { Verification } from './verification.ts';
import type { VirtualKeys } from './virtual-keys.ts';

/** What the middlewares and mirrors use of a service beyond its public methods. */
export interface Internals extends ServiceContext {
  readonly verify: (secret: string, fresh?: boolean) => Answer<Verification>;
  readonly admissions: Admissions;
  readonly settlements: Settlements;
  readonly outages: Outages;
  readonly guessing: Guessing;
  readonly importKey: ImportKey;
  readonly checkImport: CheckImport;
}

// Registered, so that the ESM and the CommonJS copy of the package understand each other's services.
const internals = Symbol.for('express-llm-keys.internals');

export function attachInternals(service: VirtualKeys, parts: Internals): VirtualKeys {
  Object.defineProperty(service, internals, { value: parts });
  return service;
}

/** @throws TypeError when this is no service */
export function internalsOf(where: string, service: unknown): Internals {
  if (typeof service === 'object' && service !== null && internals in service) {
    return (service as { [internals]: Internals })[internals];
  }
  throw new TypeError(`${where}: keys must be what createVirtualKeys() returned`);
}
