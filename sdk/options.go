package sdk

import (
	"os"
	"path/filepath"
	"time"

	"licet/internal/agent"
	"licet/internal/home"
	"licet/internal/machine"
)

// DefaultRefresh is the time between two looks at the machine's licenses.
const DefaultRefresh = 5 * time.Minute

// Option changes how a session works. None is needed.
type Option func(*options)

type options struct {
	agent   agent.Config
	refresh time.Duration
}

// WithHome says in which folder the machine's licenses lie. By default it is
// LICET_HOME, or else the place that the licet program uses.
func WithHome(dir string) Option { return func(o *options) { o.agent.Home = dir } }

// WithRefresh sets the time between two looks, spread by a tenth so that
// programs started together do not look together. 0 is [DefaultRefresh]; less
// than 0 leaves it to [Session.Refresh].
func WithRefresh(every time.Duration) Option { return func(o *options) { o.refresh = every } }

// WithClock replaces the computer's clock, for tests.
func WithClock(now func() time.Time) Option { return func(o *options) { o.agent.Now = now } }

// WithTraits replaces what makes this machine this one. Its type keeps it to
// this module: see package sdktest.
func WithTraits(read func() []machine.Trait) Option {
	return func(o *options) { o.agent.Traits = read }
}

func newOptions(opts []Option) (options, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if o.agent.Home == "" {
		o.agent.Home = home.Find(os.Getenv)
	}
	if o.refresh == 0 {
		o.refresh = DefaultRefresh
	}
	var err error
	o.agent.Home, err = filepath.Abs(o.agent.Home)
	return o, err
}
