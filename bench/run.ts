import os from 'node:os';
import { parseArgs } from 'node:util';
import { expressBench, gatewayBench, streamBench } from './http.ts';
import { ledgerBench } from './ledger.ts';
import { memoryBench } from './memory.ts';
import { postgresBench } from './postgres.ts';
import { redisBench } from './redis.ts';
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
  postgresBench,
  redisBench,
];

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
  },
});
const names = values.only ?? benches.map(({ name }) => name);
const unknown = names.filter((name) => !benches.some((bench) => bench.name === name));
if (unknown.length > 0) {
  console.error(`There is no bench ${unknown.join(', ')}; there are ${benches.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}

const reports = [];
for (const bench of benches.filter(({ name }) => names.includes(name))) {
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
