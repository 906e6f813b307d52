package pipeline

import "log/slog"

// LevelNotice is above every level an operator can choose: start, run summary
// and stop are printed even at log level error.
const LevelNotice = slog.Level(12)
