package main

import "testing"

func TestShares(t *testing.T) {
	const top = `File: quire
Type: cpu
Showing nodes accounting for 1s, 100% of 1s total
      flat  flat%   sum%        cum   cum%
     0.50s 50.00% 50.00%      0.50s 50.00%  internal/runtime/syscall/linux.Syscall6
     0.20s 20.00% 70.00%      0.20s 20.00%  runtime.memmove
     0.15s 15.00% 85.00%      0.15s 15.00%  github.com/quirelog/quire/broker.(*conn).read (inline)
     0.10s 10.00% 95.00%      0.10s 10.00%  runtime.gcDrain
     0.046s  4.60% 99.60%     0.046s  4.60%  hash/crc32.castagnoliSSE42Triple
     0.004s  0.40%   100%     0.004s  0.40%  encoding/json.Marshal
`
	const want = "system calls 50%, copying 20%, Quire 15%, garbage collection 10%, checksums 5%"
	if got := shares(top); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
