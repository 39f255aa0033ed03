package agent_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"licet/internal/agent"
	"licet/refusal"
)

// TestServers keeps the list of license servers, and reads what people wrote.
func TestServers(t *testing.T) {
	home := t.TempDir()
	c := agent.Connect(agent.Config{Home: home})
	if s, err := c.Servers(t.Context()); err != nil || len(s.List) != 0 || s.NoDiscovery {
		t.Fatalf("%+v, %v", s, err)
	}
	no := false
	for _, step := range []struct {
		change agent.ServersChange
		want   []string
		code   refusal.Code
	}{
		{agent.ServersChange{Add: []string{"licenses.example.com", "192.168.1.5:47121"}}, []string{"licenses.example.com", "192.168.1.5:47121"}, ""},
		{agent.ServersChange{Add: []string{"second.example.com"}, First: true}, []string{"second.example.com", "licenses.example.com", "192.168.1.5:47121"}, ""},
		{agent.ServersChange{Add: []string{"https://licenses.example.com:47120"}}, []string{"second.example.com", "192.168.1.5:47121", "https://licenses.example.com:47120"}, ""},
		{agent.ServersChange{Remove: []string{"second.example.com"}, Discovery: &no}, []string{"192.168.1.5:47121", "https://licenses.example.com:47120"}, ""},
		{agent.ServersChange{Remove: []string{"nobody.example.com"}}, nil, refusal.NotFound},
		{agent.ServersChange{Add: []string{"http://far.example.com"}}, nil, refusal.InvalidInput},
	} {
		s, err := c.ChangeServers(t.Context(), step.change)
		if r, ok := refusal.As(err); step.code != "" && (!ok || r.Code != step.code) {
			t.Errorf("%+v: %v", step.change, err)
		} else if step.code == "" && (err != nil || !slices.Equal(s.List, step.want)) {
			t.Errorf("%+v: %q, %v", step.change, s.List, err)
		}
	}
	s, err := c.Servers(t.Context())
	if err != nil || !s.NoDiscovery || len(s.List) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	for text, ok := range map[string]bool{
		"": true, "servers: []\n": true, "# nothing\n---\nservers:\n  - a.example.com # ours\n  - \"b.example.com\"\ndiscovery: no\n": true,
		"server:\n  - a\n": false, "- a.example.com\n": false, "servers:\n  - a b\n": false, "discovery: maybe\n": false,
	} {
		if err := os.WriteFile(filepath.Join(home, agent.ServersFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Servers(t.Context()); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
