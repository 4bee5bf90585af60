# Errors as Logger, threads, full_message and Ruby itself write them.
require 'logger'
log = Logger.new($stderr)

def inner
  raise ArgumentError, 'inner'
end

def outer
  inner
rescue ArgumentError
  raise "outer\nsecond line"
end

log.info('before')
begin
  outer
rescue => error
  log.error(error)
end
log.info('between')
begin
  Thread.new { outer }.join
rescue => error
  log.warn('joined')
end
begin
  outer
rescue => error
  warn error.full_message(highlight: false)
end
log.info('after')
missing.call
