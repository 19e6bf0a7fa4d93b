package rediscache_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
	"github.com/gatewright/gateway/cache/rediscache"
)

// startCluster starts a cluster of two servers and returns their addresses.
func startCluster(t *testing.T) (addrs []string) {
	t.Helper()
	var nodes []*server
	var ports, buses []string
	for range 2 {
		port, bus := freePort(t), freePort(t)
		nodes = append(nodes, startServer(t, "--port", port, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-announce-ip", "127.0.0.1"))
		ports, buses = append(ports, port), append(buses, bus)
		addrs = append(addrs, "127.0.0.1:"+port)
	}
	nodes[0].cli("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
	nodes[1].cli("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
	nodes[0].cli("CLUSTER", "MEET", "127.0.0.1", ports[1], buses[1])
	for _, node := range nodes {
		require.Eventually(t, func() bool {
			info, _ := node.cli("CLUSTER", "INFO").(string)
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2")
		}, 20*time.Second, 20*time.Millisecond)
	}
	return addrs
}

func TestStoresMeetInACluster(t *testing.T) {
	addrs := startCluster(t)
	join := func(local cache.Cache) *rediscache.Store {
		client := redis.NewUniversalClient(&redis.UniversalOptions{
			Addrs: addrs, ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: 1,
		})
		t.Cleanup(func() { _ = client.Close() })
		store := rediscache.New(client, rediscache.Config{Local: local, LocalTTL: time.Hour})
		t.Cleanup(func() { _ = store.Close() })
		return store
	}
	one, two, plain := join(cache.Memory(1<<20)), join(cache.Memory(1<<20)), join(nil)
	require.Eventually(t, func() bool { return one.Listening() && two.Listening() }, 10*time.Second, time.Millisecond)
	for i := range 40 { // on either server
		key := strconv.Itoa(i)
		require.NoError(t, one.Set(t.Context(), key, []byte("old"), time.Hour))
		requireSoon(t, two, key, "old")
		require.NoError(t, plain.Set(t.Context(), key, []byte("new"), time.Hour))
		requireSoon(t, one, key, "new")
		requireSoon(t, two, key, "new")
		require.NoError(t, two.Delete(t.Context(), key))
		requireNothing(t, one, key)
	}
}

func TestAStoreFindsItsServerThroughSentinel(t *testing.T) {
	port, watch := freePort(t), freePort(t)
	s := startServer(t, "--port", port)
	file := filepath.Join(s.dir, "sentinel.conf")
	require.NoError(t, os.WriteFile(file, []byte("port "+watch+"\ndir "+s.dir+"\nsentinel monitor m 127.0.0.1 "+port+" 1\n"), 0o600))
	sentinel := exec.Command("redis-server", file, "--sentinel")
	require.NoError(t, sentinel.Start())
	t.Cleanup(func() { _ = sentinel.Process.Kill(); _ = sentinel.Wait() })

	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{"127.0.0.1:" + watch}, MasterName: "m", ContextTimeoutEnabled: true, DialerRetries: 1,
	})
	t.Cleanup(func() { _ = client.Close() })
	store := rediscache.New(client, rediscache.Config{Local: cache.Memory(1 << 20), LocalTTL: time.Hour})
	t.Cleanup(func() { _ = store.Close() })
	require.Eventually(t, store.Listening, 20*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		return store.Set(context.Background(), "k", []byte("v"), time.Hour) == nil
	}, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, newStore(t, s, rediscache.Config{}).Delete(t.Context(), "k"))
	requireNothing(t, store, "k")
}
