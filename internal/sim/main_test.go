package sim

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"threatmatch-connector/internal/brokertest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	brokertest.Close()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}
