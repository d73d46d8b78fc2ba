import { BlockList, isIP } from 'node:net';

/** An address as it is compared: IPv4 in IPv6 (`::ffff:192.0.2.1`) is IPv4, and a zone (`%eth0`) is no part of it. */
export function plainAddress(address: string): string {
  const withoutZone = address.split('%', 1)[0] ?? '';
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(withoutZone);
  return mapped?.[1] ?? withoutZone;
}

/** Who is behind an address: an IPv6 network of 64 bits is one customer's, who has all of its addresses. */
export function addressOwner(address: string): string {
  const plain = plainAddress(address);
  return isIP(plain) === 6 ? `${ipv6Groups(plain).slice(0, 4).join(':')}::/64` : plain;
}

/** Whether a text is an address, or a network in CIDR (RFC 4632, RFC 4291): `192.0.2.7`, `2001:db8::/32`. */
export function isNetwork(text: unknown): text is string {
  if (typeof text !== 'string') return false;
  const [address = '', length, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes('%')) return false;
  return length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= (family === 4 ? 32 : 128));
}

/** Whether an address is in a list of addresses and networks (CIDR). What is no address is in none. */
export function isInNetworks(address: string, networks: readonly string[]): boolean {
  const plain = plainAddress(address);
  const family = isIP(plain);
  if (family === 0) return false;
  return blockListOf(networks).check(plain, family === 4 ? 'ipv4' : 'ipv6');
}

/** Records don't change, and so neither do their lists. */
const blockLists = new WeakMap<readonly string[], BlockList>();

function blockListOf(networks: readonly string[]): BlockList {
  const existing = blockLists.get(networks);
  if (existing !== undefined) return existing;
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', length] = network.split('/', 2);
    const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
    if (length === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(length), family);
  }
  blockLists.set(networks, list);
  return list;
}

function ipv6Groups(address: string): readonly string[] {
  const [head = '', tail] = address.split('::', 2);
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : new Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0');
  return [...before, ...zeros, ...after].map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''));
}
