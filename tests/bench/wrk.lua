-- SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
-- What a run of wrk comes to: requests a second, microseconds, failures.
done = function(summary, latency)
	local e = summary.errors
	io.write(string.format("rate %.1f\np99 %.1f\nfailed %d\n",
		summary.requests * 1e6 / summary.duration, latency:percentile(99),
		e.connect + e.read + e.write + e.status + e.timeout))
end
