// Compiles the app with each compiler for the kinds of modules that are asked for, and runs what comes out.
import { execFileSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';

const modules = process.argv.slice(2);
copyFileSync('app.ts', 'app.mts');
const options = [
  '--strict',
  '--exactOptionalPropertyTypes',
  '--esModuleInterop',
  '--target',
  'es2022',
  '--types',
  'node',
];

for (const compiler of ['typescript5', 'typescript']) {
  for (const module of modules) {
    // Plain CommonJS has no files of the other kind.
    const files = module === 'commonjs' ? ['app.ts'] : ['app.ts', 'app.mts'];
    const outDir = `out/${compiler}/${module}`;
    // The package's own declarations are checked once for each compiler; that takes most of the time.
    const depth = module === 'nodenext' ? [] : ['--skipLibCheck'];
    run(`node_modules/${compiler}/bin/tsc`, ...options, ...depth, '--module', module, '--outDir', outDir, ...files);
    for (const file of files) run(`${outDir}/${file.replace('ts', 'js')}`);
  }
}

function run(...args) {
  execFileSync(process.execPath, args, { stdio: 'inherit' });
}
