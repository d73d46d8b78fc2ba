import { StoreUnavailableError } from '../../errors.ts';
import type { RedisClient } from './client.ts';

const closingsOf = new WeakMap<RedisClient, { count: number }>();

/** How often a connection of this client has closed. A client that many stores share is listened to once. */
function watchClosings(client: RedisClient): { readonly count: number } {
  const known = closingsOf.get(client);
  if (known !== undefined) return known;
  const closings = { count: 0 };
  const onClose = () => {
    closings.count += 1;
  };
  // Of a Cluster a connection to one of its nodes; the event is missing in the types of the client.
  const emitter: NodeJS.EventEmitter = client;
  emitter.on(client.isCluster ? '-node' : 'close', onClose);
  closingsOf.set(client, closings);
  return closings;
}

/**
 * Asks for an act that is done once. The driver sends anew what was on its way when a connection closed; where the answer
 * then is that the act was done before, it may have been this very one, whose answer is lost.
 *
 * @throws StoreUnavailableError for such an answer: whoever asked knows no more than without it
 */
export function createAskOnce(client: RedisClient) {
  const closings = watchClosings(client);
  return async function askOnce<T>(ask: () => Promise<T>, isDoneBefore: (answer: T) => boolean): Promise<T> {
    const { count } = closings;
    const answer = await ask();
    if (count !== closings.count && isDoneBefore(answer)) {
      throw new StoreUnavailableError('The connection to Redis closed, and the answer was lost with it');
    }
    return answer;
  };
}
