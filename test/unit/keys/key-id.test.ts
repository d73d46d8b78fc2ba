import assert from 'node:assert/strict';
import { mintKeyId } from '../../../lib/keys/key-id.ts';
import { shardCount, shardOf } from '../../../lib/stores/shard.ts';

describe('mintKeyId', () => {
  it('draws an id in the shard of the team, whoever owns the key', () => {
    for (const teamId of ['search', 'billing', '🦊', '__proto__']) {
      assert.equal(shardOf(`key:${mintKeyId({ teamId, ownerId: 'u1' })}`), shardOf(`team:${teamId}`));
    }
  });

  it('draws an id in the shard of the owner where there is no team', () => {
    assert.equal(shardOf(`key:${mintKeyId({ teamId: null, ownerId: 'u1' })}`), shardOf('user:u1'));
  });

  it('spreads the others over all shards', () => {
    const shards = new Set(
      Array.from({ length: 2000 }, () => shardOf(`key:${mintKeyId({ teamId: null, ownerId: null })}`)),
    );
    assert.equal(shards.size, shardCount);
  });

  it('draws another id each time', () => {
    const ids = Array.from({ length: 500 }, () => mintKeyId({ teamId: 'search', ownerId: null }));
    assert.equal(new Set(ids).size, ids.length);
  });
});
