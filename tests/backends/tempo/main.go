// SPDX-License-Identifier: Apache-2.0

// Grafana Tempo in one process, on loopback, as its packages are: tempo --config FILE, whose ${NAME} are those of the environment.
package main

import (
	"flag"
	"log"
	"os"

	gogoproto "github.com/gogo/protobuf/proto"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
	"gopkg.in/yaml.v2"

	"github.com/grafana/tempo/cmd/tempo/app"
	tlog "github.com/grafana/tempo/pkg/util/log"
)

// Since Go 1.21 packages initialise in the order of their paths, so that gRPC's own codec overrides Tempo's,
// which knows both kinds of messages.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v interface{}) ([]byte, error) {
	if m, ok := v.(interface{ Marshal() ([]byte, error) }); ok {
		return m.Marshal()
	}
	if m, ok := v.(proto.Message); ok {
		return proto.Marshal(m)
	}
	return gogoproto.Marshal(v.(gogoproto.Message))
}

func (codec) Unmarshal(b []byte, v interface{}) error {
	if m, ok := v.(interface{ Unmarshal([]byte) error }); ok {
		return m.Unmarshal(b)
	}
	if m, ok := v.(proto.Message); ok {
		return proto.Unmarshal(b, m)
	}
	return gogoproto.Unmarshal(b, v.(gogoproto.Message))
}

func main() {
	file := flag.String("config", "", "its configuration, as YAML")
	flag.Parse()
	config := &app.Config{}
	config.RegisterFlagsAndApplyDefaults("", flag.NewFlagSet("tempo", flag.ContinueOnError))
	text, err := os.ReadFile(*file)
	if err != nil {
		log.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(os.ExpandEnv(string(text))), config); err != nil {
		log.Fatal(err)
	}
	config.Ingester.LifecyclerConfig.RingConfig.KVStore.Store = "inmemory"
	config.Ingester.LifecyclerConfig.RingConfig.ReplicationFactor = 1
	config.Ingester.LifecyclerConfig.Addr = "127.0.0.1"
	config.Generator.Ring.KVStore.Store = "inmemory"
	config.Generator.Ring.InstanceAddr = "127.0.0.1"
	encoding.RegisterCodec(codec{})
	tlog.InitLogger(&config.Server)
	tempo, err := app.New(*config)
	if err != nil {
		log.Fatal(err)
	}
	if err := tempo.Run(); err != nil {
		log.Fatal(err)
	}
}
