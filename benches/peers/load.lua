-- One GET after the other: of the URL on the command line or, with a prefix given after `--`, of a new URL each time.
local prefix
local sent = 0

local function next_request()
  sent = sent + 1
  return wrk.format("GET", prefix .. sent)
end

function init(args)
  prefix = args[1]
  if prefix then request = next_request end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_us": %.1f, "p99_us": %.1f, "bytes": %d, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), summary.bytes,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
