import type { LastSeen } from './last-seen.ts';
import type { Verification } from './verification.ts';

/** What a service does for its callers while its store is down, where an app has asked for it. */
export interface Outages {
  /** Keys that the process remembers are good without the store, for so long. */
  tolerate(maxOutageMs: number): void;
  /** Whose a secret is, by what the process remembers; `undefined`: it can't tell, or nobody has asked for it. */
  verify(secret: string): Verification | undefined;
}

export interface OutagesOptions {
  readonly lastSeen: Pick<LastSeen, 'switchOn'>;
  readonly verifyRemembered: (secret: string, maxAgeMs: number) => Verification | undefined;
}

export function createOutages({ lastSeen, verifyRemembered }: OutagesOptions): Outages {
  let toleratedMs = 0;
  return {
    tolerate(maxOutageMs) {
      if (maxOutageMs <= toleratedMs) return;
      toleratedMs = maxOutageMs;
      lastSeen.switchOn();
    },
    verify: (secret) => (toleratedMs === 0 ? undefined : verifyRemembered(secret, toleratedMs)),
  };
}
