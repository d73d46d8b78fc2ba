// Compiled against the packed types, never run.
import express from 'express';
import { createVirtualKeys, getLlm, keysRouter, llmGuard, memoryStore, priceBook } from 'express-llm-keys';
import 'express-llm-keys/augment';
import { createEchoModel, type EchoModel } from 'express-llm-keys/testing';

const keys = createVirtualKeys({
  store: memoryStore(),
  prices: priceBook({ 'gpt-4o*': { inputPerMillion: 2.5, outputPerMillion: 10 } }),
});
const echo: EchoModel = createEchoModel({ behaviour: { chunkDelayMs: 1 } });
const app = express();
app.use('/v1', llmGuard({ keys }), (req, res, next) => {
  const model: string | null = getLlm(req).model;
  const sameModel: string | null | undefined = req.llm?.model;
  if (model === sameModel) echo(req, res);
  else next();
});
app.use('/api-keys', keysRouter({ keys, authorize: () => ({ actorId: 'ops', role: 'admin' }) }));

// @ts-expect-error: there is no such option
createVirtualKeys({ store: memoryStore(), price: {} });
// @ts-expect-error: a role that does not exist
keysRouter({ keys, authorize: () => ({ actorId: 'ops', role: 'root' }) });

export const secret: Promise<string> = keys.create({ name: 'Typed', models: ['*'] }).then((created) => created.secret);
