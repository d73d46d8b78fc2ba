import { isIP } from 'node:net';
import { isInNetworks, plainAddress } from '../address.ts';

/** IANA's special-purpose registry (RFC 6890): what is not globally reachable; and multicast. */
const privateIPv4: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];

/** All that is assigned to the public Internet. */
const globalIPv6: readonly string[] = ['2000::/3'];

/** What of it is for documentation and protocols, or carries an IPv4 address that may be any. */
const privateIPv6: readonly string[] = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

/** Whether an address is private, of this machine or its link, or otherwise not of the public Internet. */
export function isPrivateAddress(address: string): boolean {
  // Each family is asked for its own: a list takes an IPv4 address for the IPv6 one that it can be written as.
  if (isIP(plainAddress(address)) === 4) return isInNetworks(address, privateIPv4);
  return !isInNetworks(address, globalIPv6) || isInNetworks(address, privateIPv6);
}
