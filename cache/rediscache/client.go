package rediscache

import (
	"errors"

	"github.com/redis/go-redis/v9"
)

// clientFaults returns why no Store can go by client.
func clientFaults(client redis.UniversalClient, local bool) (faults []error) {
	heeds, deadlines, replicas, known := true, true, false, true
	switch c := client.(type) {
	case nil:
		return []error{errors.New("no client")}
	case *redis.Client:
		o := c.Options()
		// go-redis has made -1 of -2 here.
		heeds, deadlines = o.ContextTimeoutEnabled, o.ReadTimeout >= 0 && o.WriteTimeout >= 0
	case *redis.ClusterClient:
		o := c.Options()
		heeds, deadlines = o.ContextTimeoutEnabled, o.ReadTimeout >= 0 && o.WriteTimeout >= 0
		replicas = o.ReadOnly
	case *redis.Ring:
		o := c.Options()
		heeds, deadlines = o.ContextTimeoutEnabled, o.ReadTimeout >= -1 && o.WriteTimeout >= -1
		known = false // it panics when it is to subscribe and all its servers are away
	default:
		known = false
	}
	if !heeds {
		faults = append(faults, errors.New("the client does not set ContextTimeoutEnabled, so that no deadline holds"))
	}
	if !deadlines {
		faults = append(faults, errors.New("the client has a ReadTimeout or WriteTimeout of -2, so that no deadline holds"))
	}
	if local && replicas {
		faults = append(faults, errors.New("a local tier, and a client that reads from replicas"))
	}
	if local && !known {
		faults = append(faults, errors.New("a local tier, and a client that is neither a Client nor a ClusterClient of go-redis"))
	}
	return faults
}
