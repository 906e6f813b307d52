package brokertest

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
)

// shared is the one node of a test binary. Test-only state, ended by Main.
var shared struct {
	mu   sync.Mutex
	node *Node
	err  error
}

// Main runs the tests and then ends the shared node. Every package that uses
// Shared has it in its TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(brokertest.Main(m)) }
//
// Leak checks go into the tests, or before the exit.
func Main(m *testing.M) int {
	code := m.Run()
	Close()
	return code
}

// Close ends the shared node, if any, for a TestMain that does more than Main.
func Close() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.node != nil {
		shared.node.close()
		shared.node = nil
	}
}

// Shared returns the node of this test binary, started at the first call, or
// the broker of AMQP_URL (its management API at RABBITMQ_API_URL, by default
// port 15672 of the same host). Use it through VHost only: stopping it, alarms
// and configuration would disturb other tests.
func Shared(tb testing.TB) *Node {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.node == nil && shared.err == nil {
		if u := os.Getenv("AMQP_URL"); u != "" {
			shared.node, shared.err = foreignNode(u, os.Getenv("RABBITMQ_API_URL"))
		} else {
			shared.node, shared.err = startNode(nil)
		}
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.node
}

func foreignNode(amqpURL, apiURL string) (*Node, error) {
	u, err := url.Parse(amqpURL)
	if err != nil {
		return nil, fmt.Errorf("AMQP_URL: %w", err)
	}
	port, err := strconv.Atoi(cmp.Or(u.Port(), "5672"))
	if err != nil {
		return nil, fmt.Errorf("AMQP_URL: %w", err)
	}
	password, _ := u.User.Password()
	return &Node{Host: u.Hostname(), Port: port, admin: adminAPI{
		base:     cmp.Or(apiURL, "http://"+u.Hostname()+":15672") + "/api",
		user:     cmp.Or(u.User.Username(), "guest"),
		password: cmp.Or(password, "guest"),
	}}, nil
}
