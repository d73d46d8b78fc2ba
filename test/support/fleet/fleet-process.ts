// One process of a fleet: it has a service of its own on the store that all share, and does what it is told.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Order, Reply } from './messages.ts';
import { monotonicMs } from './monotonic.ts';
import { perform } from './perform.ts';
import { openStation, type Station } from './station.ts';
import { connectStore } from './store-address.ts';

let station: Station | undefined;

async function carryOut(order: Order): Promise<unknown> {
  // All have got their orders before the first of them begins.
  await sleep(Math.max(0, order.beginAtMs - monotonicMs()));
  if (order.type === 'open') {
    await station?.close();
    station = await openStation(await connectStore(order.address), order.settings);
    return null;
  }
  if (order.type === 'close') {
    await station?.close();
    station = undefined;
    return null;
  }
  if (station === undefined) throw new Error('The store is not open');
  return perform(station, order.act, order.input);
}

function reply(message: Reply): void {
  process.send?.(message);
}

process.on('message', (order: Order) => {
  const { id } = order;
  carryOut(order).then(
    (output) => reply({ type: 'done', id, output }),
    (error: Error & { code?: string }) => reply({ type: 'failed', id, message: error.message, code: error.code }),
  );
});
// The tests have ended, in whatever way.
process.on('disconnect', () => process.exit());
reply({ type: 'ready' });
