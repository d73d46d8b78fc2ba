import express from 'express';
import type { VirtualKeys } from '../../../lib/index.ts';
import { createEchoModel } from '../../../lib/testing/index.ts';
import { guardedApp } from '../apps.ts';
import { listen } from '../listen.ts';
import type { LiteLLMProxy } from './litellm-proxy.ts';

/** What a call came to: `ok`, or the reason for which it was refused, in one vocabulary. */
export type Verdict = 'ok' | 'key' | 'expired' | 'model' | 'budget' | 'rate';

/** The two places where a secret is good: our own route, and LiteLLM's. */
export interface TwoDoors {
  ours(secret: string, model: string): Promise<Verdict>;
  theirs(secret: string, model: string): Promise<Verdict>;
  close(): Promise<void>;
}

/** An echo model behind our guard, and the proxy. Releases of LiteLLM differ in statuses, and agree in types. */
export async function twoDoors(keys: VirtualKeys, proxy: LiteLLMProxy): Promise<TwoDoors> {
  const server = await listen(guardedApp(express, { keys }, createEchoModel()));

  async function call(baseUrl: string, secret: string, model: string): Promise<Verdict> {
    const response = await fetch(`${baseUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }], max_tokens: 5 }),
    });
    const body = await response.text();
    if (response.ok) return 'ok';
    const words = /"type":"\w+"|"code":"\w+"/g;
    const reason = (body.match(words) ?? []).join(' ');
    if (/expired/.test(reason)) return 'expired';
    if (/model/.test(reason)) return 'model';
    if (/budget|quota/.test(reason)) return 'budget';
    if (response.status === 429) return 'rate';
    if (response.status === 401) return 'key';
    throw new Error(`A call was answered ${response.status} ${reason}`);
  }

  return {
    ours: (secret, model) => call(server.url, secret, model),
    theirs: (secret, model) => call(proxy.baseUrl, secret, model),
    close: server.close,
  };
}
