import assert from 'node:assert/strict';
import { addressOwner, isInNetworks, isNetwork } from '../../../lib/keys/address.ts';

describe('isNetwork', () => {
  for (const text of ['192.0.2.7', '192.0.2.0/24', '0.0.0.0/0', '::1', '2001:db8::/32', '2001:db8::1/128']) {
    it(`takes ${text}`, () => assert.equal(isNetwork(text), true));
  }
  for (const text of [
    '',
    'localhost',
    '192.0.2',
    '192.0.2.0/33',
    '::/129',
    '::1/',
    '10.0.0.0/8/8',
    'fe80::1%eth0',
    7,
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(isNetwork(text), false));
  }
});

describe('isInNetworks', () => {
  const networks = ['192.0.2.0/24', '198.51.100.7', '2001:db8::/32'];
  for (const [address, isInside] of [
    ['192.0.2.255', true],
    ['192.0.3.0', false],
    ['198.51.100.7', true],
    ['198.51.100.8', false],
    ['::ffff:192.0.2.1', true],
    ['2001:db8:ffff::1', true],
    ['2001:db9::1', false],
    ['not an address', false],
  ] as const) {
    it(`is ${isInside} for ${address}`, () => assert.equal(isInNetworks(address, networks), isInside));
  }

  it('is false for everybody where the list is empty', () => {
    assert.equal(isInNetworks('192.0.2.1', []), false);
  });
});

describe('addressOwner', () => {
  for (const [address, owner] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:0:7:1:2:3:4', '2001:db8:0:7::/64'],
    ['2001:0DB8::9', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ] as const) {
    it(`of ${address} is ${owner}`, () => assert.equal(addressOwner(address), owner));
  }
});
