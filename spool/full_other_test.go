//go:build !linux

package spool

func fullChild() int { return 2 }

func faultChild() int { return 2 }

func housekeepingChild(bool) int { return 2 }
