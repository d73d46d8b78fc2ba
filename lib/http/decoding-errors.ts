/** Codes by which Node.js tells that bytes are not compressed as they claim to be: of zlib, Brotli and Zstandard. */
const codes = /^(?:Z_|ERR__ERROR_|ERR_BROTLI_|ZSTD_)/;

/** Whether a body could not be decompressed. Body parsers pass such errors on as they are. */
export function isDecodingError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && codes.test(String(error.code));
}
