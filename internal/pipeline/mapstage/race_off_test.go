//go:build !race

package mapstage

const raceDetector = false
