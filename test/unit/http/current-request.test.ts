import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { currentRequest, runInRequest } from '../../../lib/http/current-request.ts';
import type { LlmRequest } from '../../../lib/http/llm-request.ts';

// Nothing of a request is looked at here but which one it is.
const request = (requestId: string) => ({ requestId }) as LlmRequest;

describe('currentRequest', () => {
  it('finds each of many requests in its own handling, also later', async () => {
    const found = await Promise.all(
      ['a', 'b', 'c'].map(
        (id) =>
          new Promise<string | undefined>((resolve) => {
            runInRequest(request(id), () => void turn().then(() => resolve(currentRequest()?.requestId)));
          }),
      ),
    );
    assert.deepEqual(found, ['a', 'b', 'c']);
  });

  it('finds none outside', async () => {
    runInRequest(request('a'), () => undefined);
    await turn();
    assert.equal(currentRequest(), undefined);
  });

  it('finds the request that another copy of the package has begun', async () => {
    // As a second copy is loaded: the same file under another name.
    const copy = (await import(
      '../../../lib/http/current-request.ts?copy' as string
    )) as typeof import('../../../lib/http/current-request.ts');
    assert.notEqual(copy.runInRequest, runInRequest);
    copy.runInRequest(request('a'), () => assert.equal(currentRequest()?.requestId, 'a'));
  });
});
