import type { Redis } from 'ioredis';
import type { ScopeId } from '../../limits/limit.ts';
import type { StoreNotice } from '../store.ts';
import { isCluster, type RedisClient } from './client.ts';
import { unquoted } from './records/names.ts';

const firstPauseMs = 100;
const longestPauseMs = 5000;

export interface ChangeListenerOptions {
  readonly client: RedisClient;
  readonly channel: string;
  readonly notify: (notice: StoreNotice) => void;
}

/**
 * Hears of changes on a connection of its own, since one that listens can do nothing else. After each gap it tells that
 * changes may have been missed. Of a Cluster any node will do: each passes on what is published at another.
 *
 * @returns ends it
 */
export function listenForChanges({ client, channel, notify }: ChangeListenerOptions): () => void {
  let connection: Redis | undefined;
  let retry: NodeJS.Timeout | undefined;
  let failures = 0;
  let isEnded = false;

  function connect(): void {
    const opened = openConnection(client);
    connection = opened;
    if (opened === undefined) {
      connectLater();
      return;
    }
    opened.on('ready', () => {
      // Only what is published after the subscription is sure to be heard.
      opened.subscribe(channel).then(
        () => {
          failures = 0;
          notify({ type: 'missed' });
        },
        () => opened.disconnect(),
      );
    });
    opened.on('message', (_, text) => {
      const notice = readNotice(text);
      if (notice !== undefined) notify(notice);
    });
    // Each is followed by an end; that the store is down is told by the calls that need it.
    opened.on('error', () => undefined);
    opened.once('end', connectLater);
  }

  function connectLater(): void {
    if (isEnded) return;
    const pauseMs = Math.min(firstPauseMs * 2 ** failures, longestPauseMs);
    failures += 1;
    retry = setTimeout(connect, pauseMs);
    retry.unref();
  }

  connect();
  return () => {
    isEnded = true;
    clearTimeout(retry);
    connection?.disconnect();
  };
}

/** `undefined`: no node of the Cluster is known yet. */
function openConnection(client: RedisClient): Redis | undefined {
  const nodes = isCluster(client) ? client.nodes('all') : [client];
  const node = nodes[Math.floor(Math.random() * nodes.length)];
  // The client's own settings are for commands that have to be answered soon. It connects once: the next attempt may
  // find another node.
  return node?.duplicate({
    lazyConnect: false,
    enableOfflineQueue: true,
    maxRetriesPerRequest: null,
    commandTimeout: 5000,
    autoResubscribe: false,
    retryStrategy: () => null,
  });
}

function readNotice(text: string): StoreNotice | undefined {
  const space = text.indexOf(' ');
  const revision = Number(text.slice(0, space));
  if (space < 1 || !Number.isSafeInteger(revision)) return undefined;
  try {
    // What a change publishes; whoever else publishes here makes some cache forget a name that it does not have.
    return { type: 'changed', scopeId: unquoted(text.slice(space + 1)) as ScopeId, revision };
  } catch {
    return undefined;
  }
}
