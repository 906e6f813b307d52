//go:build !linux

package spool

func fullChild() int { return 2 }
