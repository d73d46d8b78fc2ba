// Mocha's usual report, and its counts in a file: `--reporter-option output=<file>` gets one line, passed and failed.
const { writeFileSync } = require('node:fs');
const Mocha = require('mocha');

module.exports = class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures } = this.stats;
      writeFileSync(options.reporterOptions.output, `${passes} ${failures}\n`);
    });
  }
};
