// Errors as console.error and Node itself write them.
console.error('before');
const cause = Object.assign(new Error('inner'), { code: 'E1' });
console.error(new Error('printed', { cause }));
console.error('between');
try {
  require('./missing');
} catch (error) {
  console.error(error);
}
console.error(new AggregateError([new TypeError('a'), new RangeError('b')], 'many'));
process.emitWarning('careful');
setImmediate(() => {
  console.error('after');
  throw new TypeError('nobody\ncatches it', { cause });
});
