// Compiled against the packed types, never run.
import llmKeys = require('express-llm-keys');
import testing = require('express-llm-keys/testing');

const keys = llmKeys.createVirtualKeys({ store: llmKeys.memoryStore() });
export const handler = testing.createEchoModel();
export const status: Promise<'active' | 'disabled' | 'expired' | 'revoked'> = keys.get('id').then((key) => key.status);
// @ts-expect-error: unlimited is null, not a text
keys.create({ name: 'Typed', models: ['*'], rpmLimit: 'unlimited' });
