package data

import (
	"hash/fnv"
	"math/rand/v2"
)

const hexDigits = "0123456789abcdef"

// mix spreads x over all 64 bits (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

func hashOf(seed uint64, kind string, n ...int) uint64 {
	h := fnv.New64a()
	h.Write([]byte(kind))
	x := mix(seed ^ h.Sum64())
	for _, v := range n {
		x = mix(x ^ uint64(v))
	}
	return x
}

// stixID is a STIX id that follows from the arguments, of random form (UUIDv4).
func stixID(seed uint64, stixType string, n ...int) string {
	hi := hashOf(seed, stixType, n...)
	lo := mix(hi ^ 0x5851f42d4c957f2d)
	var raw [16]byte
	for i := range 8 {
		raw[i] = byte(hi >> (8 * i))
		raw[8+i] = byte(lo >> (8 * i))
	}
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	out := make([]byte, 0, len(stixType)+38)
	out = append(out, stixType...)
	out = append(out, "--"...)
	for i, b := range raw {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = append(out, hexDigits[b>>4], hexDigits[b&15])
	}
	return string(out)
}

// randomFor is a source of chance that follows from the arguments.
func randomFor(seed uint64, kind string, n ...int) *rand.Rand {
	h := hashOf(seed, kind, n...)
	return rand.New(rand.NewPCG(h, mix(h)))
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// some picks up to n different elements.
func some[T any](r *rand.Rand, list []T, n int) []T {
	var out []T
	for _, i := range r.Perm(len(list)) {
		if len(out) == n {
			break
		}
		out = append(out, list[i])
	}
	return out
}
