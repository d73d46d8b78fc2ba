// Two passes of the compiler make both module systems; each folder says which one it is. `dist` is replaced when both are
// complete, so that a build that fails or runs beside another leaves no half of a package.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';

const built = mkdtempSync('.dist-');
try {
  for (const [format, type] of [
    ['esm', 'module'],
    ['cjs', 'commonjs'],
  ]) {
    const outDir = `${built}/${format}`;
    execFileSync('npx', ['--no-install', 'tsc', '-p', `tsconfig.${format}.json`, '--outDir', outDir], {
      stdio: 'inherit',
    });
    writeFileSync(`${outDir}/package.json`, `${JSON.stringify({ type })}\n`);
  }
  const bin = `${built}/esm/gateway/cli.js`;
  if (existsSync(bin)) chmodSync(bin, 0o755);
  chmodSync(built, 0o755);
  rmSync('dist', { recursive: true, force: true });
  renameSync(built, 'dist');
} finally {
  rmSync(built, { recursive: true, force: true });
}
