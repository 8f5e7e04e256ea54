package stack

import (
	"net"
	"sync/atomic"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
)

// temporalShards cannot be changed once the database exists. Each shard is one lock and one transaction at a time; 4
// shards keep two cores and one disk busy.
const temporalShards = 4

// hosts gives each service the addresses of the others. The server then needs no gossip protocol, which takes seconds
// to settle.
func (a temporalAddrs) hosts() map[primitives.ServiceName]static.Hosts {
	return map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: static.SingleLocalHost(a.frontend.String()),
		primitives.HistoryService:  static.SingleLocalHost(a.history.String()),
		primitives.MatchingService: static.SingleLocalHost(a.matching.String()),
		primitives.WorkerService:   static.SingleLocalHost(a.worker.String()),
	}
}

// services is the configuration of the four services.
func (a temporalAddrs) services() map[string]config.Service {
	service := func(addr *net.TCPAddr) config.Service {
		return config.Service{RPC: config.RPC{GRPCPort: addr.Port, BindOnIP: addr.IP.String()}}
	}
	return map[string]config.Service{
		string(primitives.FrontendService): service(a.frontend),
		string(primitives.HistoryService):  service(a.history),
		string(primitives.MatchingService): service(a.matching),
		string(primitives.WorkerService):   service(a.worker),
	}
}

// temporalConfig is the static configuration of a one-process server.
func temporalConfig(store temporalStore, addrs temporalAddrs) *config.Config {
	const (
		main       = "main"
		visibility = "visibility"
		name       = "active" // the cluster's
		disabled   = "disabled"
	)
	frontend := addrs.frontend.String()
	return &config.Config{
		Global: config.Global{
			Membership: config.Membership{MaxJoinDuration: 30 * time.Second, BroadcastAddress: Loopback},
		},
		Persistence: config.Persistence{
			DefaultStore:     main,
			VisibilityStore:  visibility,
			NumHistoryShards: temporalShards,
			DataStores: map[string]config.DataStore{
				main:       {SQL: store.sql(TemporalDatabase, mainConns)},
				visibility: {SQL: store.visibilitySQL()},
			},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        name,
			CurrentClusterName:       name,
			ClusterInformation: map[string]cluster.ClusterInformation{
				name: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services:            addrs.services(),
		Archival: config.Archival{
			History:    config.HistoryArchival{State: disabled},
			Visibility: config.VisibilityArchival{State: disabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: disabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: disabled},
		}},
		PublicClient: config.PublicClient{HostPort: frontend},
	}
}

// temporalDynamicConfig lifts the limits that protect a shared cluster from one tenant: they would limit this server
// to about 200 workflows/s on any hardware. The other settings trade memory and a few polls for latency.
func temporalDynamicConfig() *startingConfig {
	const unlimited = 1_000_000
	static := dynamicconfig.StaticClient{
		dynamicconfig.FrontendRPS.Key():                                         unlimited,
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key():                  unlimited,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key():        unlimited,
		dynamicconfig.FrontendMaxConcurrentLongRunningRequestsPerInstance.Key(): unlimited,
		dynamicconfig.MatchingRPS.Key():                                         unlimited,
		dynamicconfig.HistoryRPS.Key():                                          unlimited,

		dynamicconfig.FrontendPersistenceMaxQPS.Key():        unlimited,
		dynamicconfig.MatchingPersistenceMaxQPS.Key():        unlimited,
		dynamicconfig.HistoryPersistenceMaxQPS.Key():         unlimited,
		dynamicconfig.WorkerPersistenceMaxQPS.Key():          unlimited,
		dynamicconfig.VisibilityPersistenceMaxReadQPS.Key():  unlimited,
		dynamicconfig.VisibilityPersistenceMaxWriteQPS.Key(): unlimited,

		// The number of a shard's writes that may be in progress at once.
		dynamicconfig.ShardIOConcurrency.Key():           8,
		dynamicconfig.TransferProcessorMaxPollRPS.Key():  500,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():     500,
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 8096,
		// Each shard looks for visibility tasks once a second. Most workflows have ended by then: the server writes no row
		// of their start, and reads and writes those of their end together. Lists of workflows are a second late.
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): 1,
		dynamicconfig.VisibilityTaskBatchSize.Key():       1000,

		// With one matching host, partitions have no benefit: they only make tasks and pollers miss each other.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

		// Otherwise a worker that is shutting down can get a task, which is then lost until its timeout.
		dynamicconfig.EnableCancelWorkerPollsOnShutdown.Key(): true,
	}
	return &startingConfig{StaticClient: static}
}

// startingFor is how long after it is ready the server reads the search attributes anew for each use; it uses them
// ten times per workflow. Grapnel registers its attributes at once and must be able to use them immediately. The
// server finds attributes registered later by its own refresh, every 2 s.
const startingFor = 5 * time.Second

// startingConfig makes search attributes usable as soon as they are registered, while the server is starting.
type startingConfig struct {
	dynamicconfig.StaticClient
	// until is when that period ends, in Unix nanoseconds; 0 before the server is ready.
	until atomic.Int64
}

// ready records that the server is ready.
func (c *startingConfig) ready() { c.until.Store(time.Now().Add(startingFor).UnixNano()) }

// GetValue implements dynamicconfig.Client.
func (c *startingConfig) GetValue(key dynamicconfig.Key) []dynamicconfig.ConstrainedValue {
	if key == dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key() {
		if until := c.until.Load(); until == 0 || time.Now().UnixNano() < until {
			return []dynamicconfig.ConstrainedValue{{Value: true}}
		}
	}
	return c.StaticClient.GetValue(key)
}
