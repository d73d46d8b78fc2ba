import type { RedisClient } from '../../lib/stores/redis/client.ts';

/** What becomes of a script that is sent to Redis. A function: it is done, and that happens before its answer comes. */
export type ScriptFate = 'done' | 'lost on its way' | 'done, and its answer lost' | (() => Promise<unknown>);

/** May take its time: the script is sent when its fate is known. */
export type FateOf = (keys: readonly string[]) => ScriptFate | Promise<ScriptFate>;

/** A client whose scripts meet these fates. Real connections cannot be told to break at one of several commands. */
export function withScriptFates(client: RedisClient, fateOf: FateOf): RedisClient {
  return new Proxy(client, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const method = value.bind(target);
      if (name !== 'evalsha' && name !== 'eval') return method;
      return async (script: string, count: number, ...args: readonly string[]) => {
        const fate = await fateOf(args.slice(0, count));
        if (fate === 'lost on its way') throw new Error('The connection broke');
        const reply: unknown = await method(script, count, ...args);
        if (typeof fate === 'function') await fate();
        if (fate === 'done, and its answer lost') throw new Error('The connection broke');
        return reply;
      };
    },
  });
}
