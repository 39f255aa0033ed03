package sdk

import (
	"net/http"
	"os"
	"path/filepath"
	"time"

	"licet/internal/agent"
	"licet/internal/home"
	"licet/internal/machine"
	"licet/seats"
)

// DefaultRefresh is the time between two looks at the machine's licenses.
const DefaultRefresh = 5 * time.Minute

// Option changes how a session works. None is needed.
type Option func(*options)

type options struct {
	agent   agent.Config
	refresh time.Duration
	blocks  []byte
	brings  bool // blocks were given, be it nothing

	servers    []string
	serversSet bool
	wait       bool
	reduced    bool
}

// WithHome says in which folder the machine's licenses lie. By default it is
// LICET_HOME, or else the place that the licet program uses.
func WithHome(dir string) Option { return func(o *options) { o.agent.Home = dir } }

// WithRefresh sets the time between two looks, spread by a tenth so that
// programs started together do not look together. 0 is [DefaultRefresh]; less
// than 0 leaves it to [Session.Refresh].
func WithRefresh(every time.Duration) Option { return func(o *options) { o.refresh = every } }

// WithBlockList gives the program the vendor's block list of its day of release,
// the content of a *.licet-blocklist file, so that a copy that is blocked stays so
// on a machine that never hears of the vendor. The list is verified by the
// program's trust file; [Open] fails if it is not the vendor's, or not whole.
//
// It adds to what the machine knows to be blocked. Only a newer list of the
// machine, signed by the vendor, takes something off it.
func WithBlockList(file []byte) Option {
	return func(o *options) { o.blocks, o.brings = file, true }
}

// WithServers names the license servers that are asked for a seat where the machine
// has no license of its own, in this order, such as "licenses.example.com" or
// "192.168.1.5:47120". Without it the machine's own list counts, which licet servers
// shows; with none named, no server is asked.
func WithServers(addresses ...string) Option {
	return func(o *options) { o.servers, o.serversSet = addresses, true }
}

// WithWait takes a place in the license server's queue where no seat is free. The
// verdict tells it; [Session.Wait] waits for the seat.
func WithWait() Option { return func(o *options) { o.wait = true } }

// Reduced lets the session take no seat of a license server until [Session.Enable]:
// for a program or an add-on that is of use without a license too.
func Reduced() Option { return func(o *options) { o.reduced = true } }

// WithStation replaces what a license server is told of who uses a seat, for tests.
func WithStation(station func() seats.Client) Option {
	return func(o *options) { o.agent.Station = station }
}

// WithHTTP replaces what carries calls to license servers on this machine, for tests.
func WithHTTP(c *http.Client) Option { return func(o *options) { o.agent.HTTP = c } }

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
