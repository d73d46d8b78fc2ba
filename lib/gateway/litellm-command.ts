import { SingleBar } from 'cli-progress';
import { createVirtualKeys, LiteLLMError } from '../index.ts';
import type { VirtualKeys } from '../keys/virtual-keys.ts';
import { tokenOf } from '../litellm/client/token.ts';
import type { Mirror } from '../litellm/index.ts';
import { isReconcilePolicy, reconcilePolicies } from '../litellm/mirror/mirror-options.ts';
import { type Environment, readEnvironment, StartError } from './environment.ts';
import { createMirror, startMirror } from './litellm-mirror.ts';
import { openStore } from './open-store.ts';

export interface LiteLLMCommand {
  readonly command: string | undefined;
  readonly policy?: string | undefined;
  readonly isDryRun: boolean;
}

interface Terminal {
  /** Results, as JSON. */
  readonly write: (text: string) => void;
  readonly warn: (text: string) => void;
}

/** What a command works with. */
interface Session extends LiteLLMCommand {
  readonly mirror: Mirror;
  readonly bar: (what: string) => Bar;
  /** With which the gateway itself calls its upstream. */
  readonly upstreamKey: string | undefined;
}

interface Bar {
  readonly onProgress: (progress: { readonly done: number; readonly total: number }) => void;
  end(): void;
}

/** The commands after `litellm`. Each answers what it prints. */
const commands: { readonly [name: string]: (session: Session) => Promise<unknown> } = {
  status: ({ mirror }) => mirror.status(),

  async sync({ mirror, isDryRun, bar }) {
    const { waiting } = await mirror.status();
    if (isDryRun) return { wouldSync: waiting.now };
    await startMirror(mirror);
    const shown = bar('Keys');
    async function show(): Promise<void> {
      const { now } = (await mirror.status()).waiting;
      shown.onProgress({ done: Math.max(0, waiting.now - now), total: waiting.now });
    }
    // A store that cannot be asked how far it is fails what is waited for, or nothing.
    const watching = setInterval(() => void show().catch(() => undefined), 200);
    await mirror.flush().finally(() => clearInterval(watching));
    shown.end();
    return mirror.status();
  },

  async reconcile({ mirror, isDryRun, policy, bar }) {
    if (policy !== undefined && !isReconcilePolicy(policy)) {
      throw new StartError(`--policy must be one of ${reconcilePolicies.join(', ')}`);
    }
    if (!isDryRun) await startMirror(mirror);
    const { onProgress, end } = bar('Keys');
    const report = await mirror.reconcile({ dryRun: isDryRun, policy, onProgress });
    end();
    if (!isDryRun) await mirror.flush();
    return report;
  },

  async spend({ mirror, isDryRun, bar }) {
    if (isDryRun)
      throw new StartError('spend has no dry run: each call is recorded once, however often it is asked for');
    const { onProgress, end } = bar('Keys');
    const report = await mirror.pullSpend({ onProgress });
    end();
    return report;
  },

  async import({ mirror, isDryRun, bar, upstreamKey }) {
    if (!isDryRun) await startMirror(mirror);
    const { onProgress, end } = bar('Keys of LiteLLM');
    const upstreamToken = upstreamKey && tokenOf(upstreamKey);
    const report = await mirror.importKeys({
      dryRun: isDryRun,
      filter: ({ token }) => token !== upstreamToken,
      onProgress,
    });
    end();
    if (!isDryRun) await mirror.flush();
    return report;
  },
};

/**
 * Runs `express-llm-keys litellm <command>` on the store and the proxy that the environment names.
 *
 * @throws StartError for a command that there is not, and where the environment does not name both
 */
export async function runLiteLLMCommand(asked: LiteLLMCommand, env: Environment, terminal: Terminal): Promise<void> {
  const { command = '' } = asked;
  const run = Object.hasOwn(commands, command) ? commands[command] : undefined;
  if (run === undefined) {
    throw new StartError(`litellm needs one of the commands ${Object.keys(commands).join(', ')}`);
  }
  // No admin API is opened here.
  const settings = readEnvironment({ ...env, ADMIN_TOKEN: env.ADMIN_TOKEN ?? 'unused' });
  const { litellm, redisUrl, databaseUrl, secretPrefix } = settings;
  if (litellm === null)
    throw new StartError('LITELLM_BASE_URL and LITELLM_MASTER_KEY must be set: they say where LiteLLM is');
  if ((redisUrl ?? databaseUrl) === null)
    throw new StartError('DATABASE_URL or REDIS_URL must be set: keys are kept there');
  const opened = await openStore(settings);
  const logger = { warn: terminal.warn, error: terminal.warn };
  let keys: VirtualKeys | undefined;
  let mirror: Mirror | undefined;
  try {
    keys = createVirtualKeys({ store: opened.store, secretPrefix, logger });
    mirror = createMirror(keys, litellm);
    const upstreamKey = settings.upstream?.apiKey;
    const result = await run({ ...asked, mirror, bar: progressBar, upstreamKey });
    terminal.write(`${JSON.stringify(result, null, 2)}\n`);
  } catch (error) {
    throw error instanceof LiteLLMError ? new StartError(error.message, { cause: error }) : error;
  } finally {
    await mirror?.stop();
    await keys?.close();
    await opened.close();
  }
}

/** A bar on standard error; nothing where that is no terminal. */
function progressBar(what: string): Bar {
  const bar = new SingleBar({ format: `${what} {bar} {value}/{total}`, noTTYOutput: false, hideCursor: true });
  let isShown = false;
  return {
    onProgress({ done, total }) {
      if (isShown) bar.setTotal(total);
      else bar.start(total, done);
      isShown = true;
      bar.update(done);
    },
    end() {
      if (isShown) bar.stop();
    },
  };
}
