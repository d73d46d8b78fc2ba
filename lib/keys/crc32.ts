const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xed_b8_83_20 : crc >>> 1;
  return crc;
});

/**
 * CRC-32 (ISO-HDLC, as zip and PNG have it) over the first `length` characters of an ASCII text, each taken as one byte.
 * Secrets are short: there a table in JavaScript is quicker than the call into `node:zlib`.
 */
export function crc32(ascii: string, length = ascii.length): number {
  let crc = 0xff_ff_ff_ff;
  for (let at = 0; at < length; at += 1) {
    crc = (crc >>> 8) ^ (table[(crc ^ ascii.charCodeAt(at)) & 0xff] ?? 0);
  }
  return ~crc >>> 0;
}
