/** When a call of a handler is given up. */
export interface UpstreamSignal {
  readonly signal: AbortSignal;
  /** The call has ended: nobody listens any longer. */
  release(): void;
}

export interface UpstreamSignalOptions {
  /** The call's own. */
  readonly own: AbortSignal | null;
  /** Aborted when the client leaves. */
  readonly leaving: AbortSignal;
  /** How long the call goes on when the client has left. */
  readonly drainMs: number;
}

/**
 * Gives a call up with its own signal, or when the client leaves: at once, or after the time for draining. What the call's
 * own signal says after the client has left is how SDKs react to it, and does not end the draining.
 *
 * Listeners rather than `AbortSignal.any`, whose signals Node 20 may collect before they fire.
 */
export function upstreamSignal({ own, leaving, drainMs }: UpstreamSignalOptions): UpstreamSignal {
  const call = new AbortController();
  const released = new AbortController();
  let draining: NodeJS.Timeout | undefined;

  function onLeft(): void {
    if (drainMs === 0) call.abort(leaving.reason);
    else draining = setTimeout(() => call.abort(leaving.reason), drainMs);
  }

  function onOwn(): void {
    if (draining === undefined) call.abort(own?.reason);
  }

  if (own?.aborted) onOwn();
  else own?.addEventListener('abort', onOwn, { once: true, signal: released.signal });
  if (leaving.aborted) onLeft();
  else leaving.addEventListener('abort', onLeft, { once: true, signal: released.signal });

  return {
    signal: call.signal,
    release() {
      clearTimeout(draining);
      released.abort();
    },
  };
}
