package provisioning

import (
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// maxParsed bounds the profiles that are kept parsed.
const maxParsed = 64

// profileCache keeps the profiles parsed that devices are set up by: many with
// the same one. Nobody changes a parsed profile.
type profileCache struct {
	mu     sync.Mutex
	parsed map[string]parsedProfile // guarded by mu; by name
}

type parsedProfile struct {
	rec *pb.Profile
	p   *profile.Profile
}

// get returns what rec was parsed to before, else what parse makes of it.
func (c *profileCache) get(rec *pb.Profile, parse func(*pb.Profile) (*profile.Profile, error)) (*profile.Profile, error) {
	c.mu.Lock()
	kept, ok := c.parsed[rec.GetName()]
	c.mu.Unlock()
	if ok && proto.Equal(kept.rec, rec) {
		return kept.p, nil
	}
	p, err := parse(rec)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parsed == nil || len(c.parsed) >= maxParsed {
		c.parsed = map[string]parsedProfile{}
	}
	c.parsed[rec.GetName()] = parsedProfile{rec, p}
	return p, nil
}
