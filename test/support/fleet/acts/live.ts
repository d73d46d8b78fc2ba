import { setImmediate as turn } from 'node:timers/promises';
import type { Hold, KeyPatch } from '../../../../lib/index.ts';
import { seededRandom } from '../../../../lib/testing/store-suite/random.ts';
import { monotonicMs } from '../monotonic.ts';
import { callBySecret, costOfCallNanoUsd, type Station } from '../station.ts';
import { until } from '../until.ts';
import { createLifeLog, type LifeReport } from './life-log.ts';

export interface Life {
  readonly seed: number;
  readonly durationMs: number;
  /** All keys, each with the secret that it was made with. */
  readonly keys: readonly { readonly keyId: string; readonly secret: string }[];
  /** Those of them that this process revokes, one after the other, until the time is over. */
  readonly toRevoke: readonly string[];
}

/** How often each act is done, next to the others. */
const weights = {
  callBySecret: 8,
  verify: 3,
  admit: 8,
  extend: 3,
  settle: 8,
  cancel: 1,
  update: 3,
  rotate: 2,
  /** As their times come. */
  revoke: 0,
};
type Act = keyof typeof weights;
const acts = Object.keys(weights) as readonly Act[];
const weighted = acts.flatMap((act) => Array.from({ length: weights[act] }, () => act));

const atOnce = 8;
/** In a life however short. */
const fewestTries = 250;
const maxOpenCalls = 40;
const busyKeys = 6;
const model = 'gpt-4o';

/** Does at random all that is done to keys and calls, many at once, and reports what was answered. */
export async function live(station: Station, { seed, durationMs, keys: all, toRevoke }: Life): Promise<LifeReport> {
  const { keys } = station;
  const random = seededRandom(seed);
  const log = createLifeLog(all);
  const open: { readonly hold: Hold }[] = [];
  const unrevoked = [...toRevoke];
  const chargedBefore = station.charged.length;
  const begunAtMs = monotonicMs();
  let tries = 0;
  /** How much of its life is over. Where the machine is busy with other things it takes longer. */
  const livedShare = () => Math.min(1, (monotonicMs() - begunAtMs) / durationMs, tries / fewestTries);

  const upTo = (most: number) => Math.floor(random() * (most + 1));
  const oneOf = <T>(choices: readonly [T, ...(readonly T[])]): T => choices[upTo(choices.length - 1)] ?? choices[0];
  /** Every other one is among a few, where the workers get in each other's way. */
  const someKey = () => all[upTo(random() < 0.5 ? busyKeys : all.length - 1)]?.keyId ?? '';
  /** The latest that is known here, or one that is surely over. */
  const someSecret = (keyId: string) => {
    const secrets = log.secretsOf(keyId);
    const at = random() < 0.7 ? secrets.length - 1 : upTo(secrets.length - 1);
    return secrets[at] ?? { version: 0, secret: '' };
  };
  const takeOpen = () => open.splice(upTo(open.length - 1), 1)[0];
  /** Of every size, so that a sum that is rounded anywhere is told from the exact one. */
  const someCostNanoUsd = () => 1 + upTo(30_000_000);
  const someCall = () => ({ model, tokens: 1 + upTo(500), costUsd: someCostNanoUsd() / 1e9 });

  /** No period of these ends while a key is young: what is spent stays in the period that is shown. */
  const somePatch = () =>
    oneOf<KeyPatch>([
      { name: `Name ${upTo(99)}` },
      { rpmLimit: oneOf([null, 100, 10_000]) },
      { tpmLimit: oneOf([null, 50_000, 10_000_000]) },
      { maxParallelRequests: oneOf([null, 5, 100]) },
      { maxBudget: oneOf([null, 0.5, 100]) },
      { budgetDuration: oneOf([null, '30d', '60d', '1mo']) },
    ]);

  const run: { readonly [act in Act]: () => Promise<unknown> } = {
    async callBySecret() {
      const keyId = someKey();
      const { secret, version } = someSecret(keyId);
      const maxTokens = 1 + upTo(1000);
      const beganAtMs = monotonicMs();
      const outcome = await callBySecret(station, secret, maxTokens);
      if (outcome === 'unavailable') log.wasUnsteady();
      if (outcome !== 'admitted') return;
      log.secretAdmitted(keyId, version, beganAtMs);
      log.settled(keyId, costOfCallNanoUsd(maxTokens));
    },
    async verify() {
      const keyId = someKey();
      const { secret, version } = someSecret(keyId);
      const beganAtMs = monotonicMs();
      if ((await keys.verify(secret)).valid) log.secretVerified(keyId, version, beganAtMs);
    },
    async admit() {
      const keyId = someKey();
      const beganAtMs = monotonicMs();
      const call = await keys.admit({ keyId, ...someCall() });
      if (!call.admitted) return;
      open.push(call);
      log.idAdmitted(keyId, beganAtMs);
    },
    async extend() {
      const first = open[upTo(open.length - 1)];
      if (first === undefined) return;
      const beganAtMs = monotonicMs();
      const call = await keys.extend(first.hold, someCall());
      if (!call.admitted) return;
      open.push(call);
      log.idAdmitted(first.hold.subject.keyId, beganAtMs);
    },
    async settle() {
      const call = takeOpen();
      if (call === undefined) return;
      const costNanoUsd = someCostNanoUsd();
      const usage = { inputTokens: upTo(300), outputTokens: upTo(300), costUsd: costNanoUsd / 1e9 };
      const { state } = await keys.settle(call.hold, usage);
      if (state !== 'settled') throw new Error(`A call that was open was ${state}`);
      log.settled(call.hold.subject.keyId, costNanoUsd);
    },
    async cancel() {
      const call = takeOpen();
      if (call !== undefined) await keys.cancel(call.hold);
    },
    update() {
      const keyId = someKey();
      return log.updated(keyId, () => keys.update(keyId, somePatch()));
    },
    rotate() {
      const keyId = someKey();
      const graceSeconds = upTo(1);
      return log.rotated(keyId, graceSeconds * 1000, () => keys.rotate(keyId, { graceSeconds }));
    },
    async revoke() {
      const keyId = unrevoked.pop();
      if (keyId !== undefined) await log.revoked(keyId, () => keys.revoke(keyId));
    },
  };

  function nextAct(): Act {
    // Spread evenly: at any time there are keys that were revoked just now.
    const revoked = toRevoke.length - unrevoked.length;
    if (revoked < Math.floor(toRevoke.length * livedShare())) return 'revoke';
    return open.length >= maxOpenCalls ? 'settle' : (weighted[upTo(weighted.length - 1)] ?? 'admit');
  }

  async function liveOn(): Promise<void> {
    while (livedShare() < 1) {
      const act = nextAct();
      tries += 1;
      await log.attempt(act, run[act]);
      // What is refused from memory waits for nothing, and nothing else would have its turn.
      await turn();
    }
  }

  await Promise.all(Array.from({ length: atOnce }, liveOn));
  while (open.length > 0) await log.attempt('settle', run.settle);
  const chargedHere = () => station.charged.slice(chargedBefore);
  // An app settles when its client may have the answer already.
  await until(
    'Charges',
    async () => chargedHere().length,
    (count) => count >= log.settledCalls(),
  );
  return log.report(chargedHere());
}
