import os from 'node:os';
import { parseArgs } from 'node:util';
import { expressBench, gatewayBench, streamBench } from './http.ts';
import { ledgerBench } from './ledger.ts';
import { memoryBench } from './memory.ts';
import { postgresAwayBench } from './postgres/away.ts';
import { postgresBytesBench } from './postgres/bytes.ts';
import { postgresCallsBench } from './postgres/calls.ts';
import { postgresKeysBench } from './postgres/keys.ts';
import { postgresProcessesBench } from './postgres/processes.ts';
import { redisAwayBench } from './redis/away.ts';
import { redisBytesBench } from './redis/bytes.ts';
import { redisCallsBench } from './redis/calls.ts';
import { redisFailoverBench } from './redis/failover.ts';
import { redisKeysBench } from './redis/keys.ts';
import { redisProcessesBench } from './redis/processes.ts';
import { type Bench, isMet, printed } from './report.ts';
import { denialBench, serviceBench } from './service.ts';

const benches: readonly Bench[] = [
  ledgerBench,
  serviceBench,
  denialBench,
  expressBench,
  gatewayBench,
  streamBench,
  memoryBench,
  redisCallsBench,
  redisKeysBench,
  redisAwayBench,
  redisProcessesBench,
  redisBytesBench,
  redisFailoverBench,
  postgresCallsBench,
  postgresKeysBench,
  postgresAwayBench,
  postgresProcessesBench,
  postgresBytesBench,
];

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
  },
});
/** By its whole name, or by the room that it is in: `redis` selects all of `redis-…`. */
const selects = (asked: string, { name }: Bench) => name === asked || name.startsWith(`${asked}-`);
const asked = values.only ?? [];
const unknown = asked.filter((each) => !benches.some((bench) => selects(each, bench)));
if (unknown.length > 0) {
  console.error(`There is no bench ${unknown.join(', ')}; there are ${benches.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
const selected = benches.filter((bench) => asked.length === 0 || asked.some((each) => selects(each, bench)));

const reports = [];
for (const bench of selected) {
  const report = await bench.run();
  if (!values.json) console.log(printed(`${bench.name}: ${bench.title}`, report));
  const ratios = report.ratios.map((ratio) => ({ ...ratio, met: isMet(ratio) }));
  reports.push({ name: bench.name, title: bench.title, figures: report.figures, ratios });
}
if (values.json) {
  const machine = { node: process.version, cpu: os.cpus()[0]?.model, cpus: os.cpus().length };
  console.log(JSON.stringify({ machine, benches: reports }, null, 2));
}
process.exit(0);
