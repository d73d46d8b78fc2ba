import { checkHook } from './change-options.ts';
import type { VirtualKey } from './shown-key.ts';

/** A change of a key that is about to happen, or has happened. */
export interface KeyChange {
  readonly action:
    | 'create'
    | 'update'
    | 'rotate'
    | 'disable'
    | 'enable'
    | 'revoke'
    | 'repair'
    | 'delete'
    | 'resetSpend';
  /** The key as it will be, or is now. */
  readonly key: VirtualKey;
  /** `null` for a new key. */
  readonly before: VirtualKey | null;
  /** The only time that the secret is shown: when a key is created or rotated. */
  readonly secret: string | null;
}

/** Takes part in changes of keys, as a mirror does. */
export interface KeyHook {
  /** Runs before the change is stored; what it throws refuses the change and reaches the caller. */
  readonly before?: ((change: KeyChange) => void | Promise<void>) | undefined;
  /** Runs when the change is stored; what it throws is logged. */
  readonly after?: ((change: KeyChange) => void | Promise<void>) | undefined;
  /** Runs when `before` had run and the change could not be stored; what it throws is logged. */
  readonly undo?: ((change: KeyChange) => void | Promise<void>) | undefined;
  /** Marks changed keys in the store's outbox, in the act of the change. @defaultValue false */
  readonly outbox?: boolean | undefined;
}

/** The hooks of a service, run in the order in which they were added. */
export interface Hooks {
  /** The function returned takes the hook off. @throws InvalidRequestError for a hook that would do nothing */
  add(hook: KeyHook): () => void;
  readonly wantsOutbox: boolean;
  /** Runs a change between its hooks: `before`, the act, then `after` or, when the act fails, `undo`. */
  around<T>(change: KeyChange, act: () => Promise<T>): Promise<T>;
}

export function createHooks(onFailure: (error: unknown) => void): Hooks {
  const hooks = new Set<KeyHook>();

  async function tell(told: Iterable<KeyHook>, step: 'after' | 'undo', change: KeyChange): Promise<void> {
    for (const hook of told) {
      try {
        await hook[step]?.(change);
      } catch (error) {
        onFailure(error);
      }
    }
  }

  return {
    add(hook) {
      checkHook(hook);
      hooks.add(hook);
      return () => hooks.delete(hook);
    },
    get wantsOutbox() {
      return [...hooks].some(({ outbox }) => outbox === true);
    },
    async around(change, act) {
      const begun: KeyHook[] = [];
      try {
        for (const hook of hooks) {
          await hook.before?.(change);
          begun.push(hook);
        }
        const done = await act();
        await tell(begun, 'after', change);
        return done;
      } catch (error) {
        await tell(begun, 'undo', change);
        throw error;
      }
    },
  };
}
