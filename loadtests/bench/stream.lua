-- Sends a rendered stream (streams.py): wrk -s stream.lua URL -- DATA FIRST
-- DATA is the rendered file; FIRST the number before the first of a distinct stream, or "repeats".
-- The last line of the output is for wrk.py to read.

function init(args)
  local data = dofile(args[1])
  if args[2] == "repeats" then
    local requests, draws, i = data.requests, data.draws, 0
    local count = #draws
    request = function()
      i = i + 1
      if i > count then i = 1 end
      return requests[draws[i]]
    end
    return
  end
  local a, b, c = {}, {}, {}
  for k, pieces in ipairs(data) do
    a[k], b[k], c[k] = pieces[1], pieces[2], pieces[3]
  end
  local rows, k, n = #a, 0, tonumber(args[2])
  if c[1] then
    request = function()
      k = k + 1
      if k > rows then k = 1 end
      n = n + 1
      return a[k] .. n .. b[k] .. n .. c[k]
    end
  else
    request = function()
      k = k + 1
      if k > rows then k = 1 end
      n = n + 1
      return a[k] .. n .. b[k]
    end
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'BENCH {"requests": %d, "duration_us": %d, "bytes": %d, "p50_us": %d, "p99_us": %d, '
      .. '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
