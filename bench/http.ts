import type { Load } from './load-process.ts';
import { type LoadGenerator, type RunningServer, startLoadGenerator, startServer } from './processes.ts';
import { median } from './race.ts';
import type { Bench, Figure, Ratio, Report } from './report.ts';
import { model } from './sample-keys.ts';
import type { ServerName } from './servers.ts';

const rounds = 3;
const roundMs = 1500;
/** Until the compiler has seen enough of a server: by number, since a busy machine takes longer for it. */
const warmUpAnswers = 20_000;
const longestWarmUpMs = 20_000;
const connections = 16;

/** A request of about 1 kB. */
const body = JSON.stringify({
  model,
  max_tokens: 100,
  messages: [
    { role: 'system', content: 'You are a terse assistant.' },
    { role: 'user', content: 'Tell me of the sea. '.repeat(40) },
  ],
});
const streamBody = JSON.stringify({ ...JSON.parse(body), stream: true, stream_options: { include_usage: true } });

/** What an app pays for the guard, with a handler that answers at once. */
export const expressBench: Bench = {
  name: 'express',
  title: 'POST of 1 kB of JSON through Express, 16 connections',
  run: () =>
    side(['express', 'express-rate-limit', 'llmGuard'], {
      goals: (of) => (of === 'llmGuard' ? { perSecond: 0.85 } : {}),
    }),
};

/** What the gateway takes in front of an upstream that answers at once. */
export const gatewayBench: Bench = {
  name: 'gateway',
  title: 'POST of 1 kB of JSON through a proxy to an upstream, 16 connections',
  run: () =>
    side(['express + undici', 'gateway', '@portkey-ai/gateway'], {
      behind: 'upstream',
      goals: (of) => (of === 'gateway' ? { perSecond: 0.85, p50: 1.15 } : {}),
    }),
};

/** What metering takes of a stream of 200 events. */
export const streamBench: Bench = {
  name: 'stream',
  title: 'streams of 200 events, passed on from an upstream, 16 connections',
  run: () =>
    side(['raw pipe', 'metered pipe'], {
      behind: 'upstream',
      goals: (of) => (of === 'metered pipe' ? { perSecond: 0.9 } : {}),
      body: streamBody,
    }),
};

interface SideOptions {
  readonly behind?: ServerName;
  readonly body?: string;
  readonly goals: (of: string) => { readonly perSecond?: number; readonly p50?: number };
}

interface Round {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly cpuUs: number;
}

/** Loads servers in turn, round after round. The first of them is what the others are compared with. */
async function side(names: readonly ServerName[], options: SideOptions): Promise<Report> {
  const upstream = options.behind === undefined ? undefined : await startServer(options.behind);
  const running = await Promise.all(names.map((name) => startServer(name, upstream?.port)));
  const generator = startLoadGenerator();
  try {
    const measured = new Map<string, Round[]>(names.map((name) => [name, []]));
    for (const server of running) await warmUp(server, generator, options.body ?? body);
    for (let round = 0; round < rounds; round += 1) {
      for (const server of running) {
        measured.get(server.name)?.push(await oneRound(server, generator, options.body ?? body));
      }
    }
    return compared(measured, options);
  } finally {
    for (const each of [...running, upstream, generator]) each?.stop();
  }
}

async function warmUp(server: RunningServer, generator: LoadGenerator, sent: string): Promise<void> {
  const endMs = performance.now() + longestWarmUpMs;
  for (let answered = 0; answered < warmUpAnswers && performance.now() < endMs; ) {
    answered += (await generator.run({ ...loadOf(server, sent), connections, durationMs: roundMs })).answers;
  }
}

function loadOf({ port, headers }: RunningServer, body: string): Omit<Load, 'connections' | 'durationMs'> {
  return { port, headers, body, path: '/v1/chat/completions' };
}

async function oneRound(server: RunningServer, generator: LoadGenerator, sent: string): Promise<Round> {
  const before = await server.state();
  const load = loadOf(server, sent);
  const { answers, failures, perSecond } = await generator.run({ ...load, connections, durationMs: roundMs });
  const after = await server.state();
  const single = await generator.run({ ...load, connections: 1, durationMs: roundMs / 3 });
  const atEnd = await server.state();
  if (failures + single.failures > 0) throw new Error(`${server.name}: ${failures} of ${answers} requests failed`);
  const settled = before.settled === null || atEnd.settled === null ? null : atEnd.settled - before.settled;
  if (settled !== null && settled !== answers + single.answers) {
    throw new Error(`${server.name}: ${settled} of ${answers + single.answers} requests were admitted and settled`);
  }
  return { perSecond, p50Us: single.p50Us, cpuUs: (after.cpuUs - before.cpuUs) / answers };
}

function compared(measured: ReadonlyMap<string, readonly Round[]>, { goals }: SideOptions): Report {
  const figures: Figure[] = [];
  const ratios: Ratio[] = [];
  const [base] = measured.keys();
  const middle = (name: string, field: keyof Round) => median((measured.get(name) ?? []).map((round) => round[field]));
  for (const name of measured.keys()) {
    figures.push(
      { name: `${name}, requests`, value: middle(name, 'perSecond'), unit: '/s' },
      { name: `${name}, p50 of one connection`, value: middle(name, 'p50Us'), unit: 'us' },
      { name: `${name}, CPU time of a request`, value: middle(name, 'cpuUs'), unit: 'us' },
    );
    if (base === undefined || name === base) continue;
    const ratio = (field: keyof Round) => middle(name, field) / middle(base, field);
    const { perSecond, p50 } = goals(name);
    ratios.push(
      goal({ of: `requests/s of ${name}`, to: base, ratio: ratio('perSecond') }, perSecond, 'atLeast'),
      goal({ of: `p50 of ${name}`, to: base, ratio: ratio('p50Us') }, p50, 'atMost'),
      { of: `CPU time of ${name}`, to: base, ratio: ratio('cpuUs') },
    );
  }
  return { figures, ratios };
}

function goal(ratio: Ratio, wanted: number | undefined, kind: 'atLeast' | 'atMost'): Ratio {
  if (wanted === undefined) return ratio;
  return { ...ratio, goal: kind === 'atLeast' ? { atLeast: wanted } : { atMost: wanted } };
}
