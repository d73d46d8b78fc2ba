import { failOverUnderLoad } from '../../test/support/failover-under-load.ts';
import type { Bench, Figure } from '../report.ts';

const loadMs = 3000;

/** What Redis had answered, and had not told its replica when it was killed. */
export const redisFailoverBench: Bench = {
  name: 'redis-failover',
  title: 'calls of 64 callers on a Redis that is killed, with a replica that is told of them at once, and 50 ms later',
  async run() {
    return { figures: [...(await lossAt(0)), ...(await lossAt(50))], ratios: [] };
  },
};

async function lossAt(lagMs: number): Promise<Figure[]> {
  const failedOver = await failOverUnderLoad({ lagMs, callers: 64, loadMs });
  const { calls, lost, bound, behindMs } = failedOver;
  await failedOver.stop();
  const figure = (name: string, value: number, unit: Figure['unit']): Figure => {
    return { name: `told ${lagMs} ms later: ${name}`, value, unit };
  };
  const perSecond = (1000 * calls.filter(({ settledAtMs }) => settledAtMs).length) / loadMs;
  return [
    figure('calls settled', perSecond, '/s'),
    figure('how far the replica was behind', behindMs * 1000, 'us'),
    figure('the most that was settled within so long', bound.settlements, 'calls'),
    figure('settlements that were answered and lost', lost.settlements.length, 'calls'),
    figure('admissions that were answered and lost', lost.admissions.length, 'calls'),
  ];
}
