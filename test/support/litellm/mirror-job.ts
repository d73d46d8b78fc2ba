/** What a process of its own is told to do with keys that are mirrored. */
export interface MirrorJob {
  readonly redisUrl: string;
  readonly prefix: string;
  readonly baseUrl: string;
  readonly masterKey: string;
  readonly timeoutMs: number;
  readonly leaseMs: number;
  /** In hex; absent: what LiteLLM does not take is refused. */
  readonly vaultKey?: string;
  readonly task: CrashTask | FleetTask;
}

/** One change, and what follows of it; the process kills itself after so many steps. */
export interface CrashTask {
  readonly name: 'create' | 'update' | 'rotate' | 'revoke' | 'delete';
  readonly keyId: string;
  readonly killAfterSteps: number;
}

/** Makes keys, tightens each of them, and revokes every other one; what is refused for LiteLLM's sake is tried again. */
export interface FleetTask {
  readonly name: 'fleet';
  readonly keys: number;
}
