import { randomBytes } from 'node:crypto';

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** The largest multiple of 62 in a byte: bytes from here on would favour the first digits. */
const fairBelow = 248;

/** So many random digits, each as likely as any other: 5.95 bits a digit. */
export function randomBase62(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length + 8)) {
      if (byte < fairBelow && text.length < length) text += digits.charAt(byte % 62);
    }
  }
  return text;
}

/** A whole number as base 62, zero-padded to `length` digits. */
export function base62(value: number, length: number): string {
  let text = '';
  for (let rest = value; text.length < length; rest = Math.floor(rest / 62)) text = digits.charAt(rest % 62) + text;
  return text;
}

/** The digits from `start` to the end as a number, or NaN where one of the characters is none. */
export function readBase62(text: string, start: number): number {
  let value = 0;
  for (let at = start; at < text.length; at += 1) value = value * 62 + digitAt(text, at);
  return value;
}

function digitAt(text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 65 && code <= 90) return code - 55;
  return code >= 97 && code <= 122 ? code - 61 : Number.NaN;
}
