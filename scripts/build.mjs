// Two passes of the compiler make both module systems; each folder says which one it is.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';

rmSync('dist', { recursive: true, force: true });
for (const [format, type] of [
  ['esm', 'module'],
  ['cjs', 'commonjs'],
]) {
  execFileSync('npx', ['--no-install', 'tsc', '-p', `tsconfig.${format}.json`], { stdio: 'inherit' });
  writeFileSync(`dist/${format}/package.json`, `${JSON.stringify({ type })}\n`);
}
const bin = 'dist/esm/gateway/cli.js';
if (existsSync(bin)) chmodSync(bin, 0o755);
