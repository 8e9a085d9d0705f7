package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// settings are what run and doctor can be told: by flags, by SCSD_* variables
// and by a YAML file, the first of these that says it.
type settings struct {
	data, kek string
	config    string

	helloAddr, grpcAddr, metricsAddr string

	dialAllow   []string
	devicePort  uint16
	serverNames []string

	workers, attemptWorkers, helloQueue int
	helloConns, helloPerSource          int

	pskVersions, pskSuites []string
	pairForm, pskForm      string

	eventLife   time.Duration
	events      uint64
	stopTimeout time.Duration

	logLevel, logFormat string
	readyFile           string

	allow []netip.Prefix // dialAllow, read
}

// flags declares every setting with its default. docs/operations.md has a heading
// for each.
func (s *settings) flags(f *pflag.FlagSet) {
	f.StringVar(&s.data, "data", "", "data directory, made by scsd init")
	f.StringVar(&s.kek, "kek", "", "file of the key-encryption key, mode 0600; in $CREDENTIALS_DIRECTORY if it has no slash")
	f.StringVar(&s.config, "config", "", "YAML file with these settings, by the names of the flags")
	f.StringVar(&s.helloAddr, "hello-addr", ":9971", "where hello messages arrive")
	f.StringVar(&s.grpcAddr, "grpc-addr", "127.0.0.1:9972", "where the API listens")
	f.StringVar(&s.metricsAddr, "metrics-addr", "127.0.0.1:9973", "where Prometheus reads metrics, without any login; empty: nowhere")
	f.StringSliceVar(&s.dialAllow, "dial-allow", nil, "networks whose devices are dialled back, as 10.0.0.0/8 (default every address but loopback, multicast and this machine's)")
	f.Uint16Var(&s.devicePort, "device-port", 16993, "port of the devices' TLS; firmware knows no other")
	f.StringSliceVar(&s.serverNames, "server-name", nil, "names and addresses of the API's certificate beside localhost, the loopback addresses and this machine's name (default: as it was issued)")
	f.IntVar(&s.workers, "workers", 512, "set-ups that are worked on at once")
	f.IntVar(&s.attemptWorkers, "attempt-workers", 512, "hellos that are followed at once, before their senders have proved anything")
	f.IntVar(&s.helloQueue, "hello-queue", 16384, "hellos that may wait to be stored")
	f.IntVar(&s.helloConns, "hello-conns", 1024, "hello connections at once")
	f.IntVar(&s.helloPerSource, "hello-conns-per-source", 128, "of them from one IPv4 address or IPv6 /64")
	f.StringSliceVar(&s.pskVersions, "psk-versions", []string{"1.0", "1.1", "1.2"}, "TLS versions of set-up")
	f.StringSliceVar(&s.pskSuites, "psk-suites", []string{"aes128", "aes256"}, "TLS-PSK suites of set-up: aes128, aes256, 3des, rc4")
	f.StringVar(&s.pairForm, "pair-form", "undashed", "how a pair stands in TLS-PSK: undashed or dashed (unverified)")
	f.StringVar(&s.pskForm, "psk-form", "base64", "how a device is told its next pair: base64 or plain (unverified)")
	s.eventLife = 90 * 24 * time.Hour
	f.Var(&days{&s.eventLife}, "event-life", "how long events are kept, as 90d, 1y or 2160h")
	f.Uint64Var(&s.events, "events", 1_000_000, "how many events are kept")
	f.DurationVar(&s.stopTimeout, "stop-timeout", 15*time.Second, "how long running steps may take at a stop")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "text or json")
	f.StringVar(&s.readyFile, "ready-file", "", "file that gets the addresses in JSON once the server is ready")
}

// envName is the variable of a flag: SCSD_HELLO_ADDR.
func envName(flag string) string {
	return "SCSD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// load takes what the flags do not say from the environment, and then from the
// file, and checks the whole.
func (s *settings) load(f *pflag.FlagSet, environ func() []string) error {
	vars := koanf.New(".")
	byVar := map[string]string{}
	f.VisitAll(func(fl *pflag.Flag) { byVar[envName(fl.Name)] = fl.Name })
	err := vars.Load(env.Provider(".", env.Opt{
		Prefix: "SCSD_", EnvironFunc: environ,
		TransformFunc: func(k, v string) (string, any) { return byVar[k], v },
	}), nil)
	if err != nil {
		return fmt.Errorf("reading the environment: %w", err)
	}
	if !f.Changed("config") && vars.Exists("config") {
		s.config = vars.String("config")
	}
	doc, err := readConfig(s.config, f)
	if err != nil {
		return err
	}
	var bad error
	f.VisitAll(func(fl *pflag.Flag) {
		switch {
		case bad != nil:
		case fl.Changed:
			bad = notEmpty(fl, "--"+fl.Name)
		case vars.Exists(fl.Name):
			bad = set(fl, envName(fl.Name), vars.Get(fl.Name))
		case doc.Exists(fl.Name):
			bad = set(fl, fmt.Sprintf("%s: %s", s.config, fl.Name), doc.Get(fl.Name))
		}
	})
	if bad != nil {
		return bad
	}
	return s.check()
}

// yamlParser lets koanf read YAML by the parser that the profiles have.
type yamlParser struct{}

func (yamlParser) Unmarshal(b []byte) (map[string]any, error) {
	m := map[string]any{}
	if err := yaml.UnmarshalWithOptions(b, &m, yaml.Strict()); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, false))
	}
	return m, nil
}

func (yamlParser) Marshal(m map[string]any) ([]byte, error) { return yaml.Marshal(m) }

// readConfig reads the file, none if path is empty. A key that is no setting is
// an error with its name.
func readConfig(path string, f *pflag.FlagSet) (*koanf.Koanf, error) {
	doc := koanf.New(".")
	if path == "" {
		return doc, nil
	}
	if err := doc.Load(file.Provider(path), yamlParser{}); err != nil {
		return nil, usage("--config %s: %v", path, err)
	}
	for key := range doc.Raw() {
		if f.Lookup(key) == nil || key == "config" {
			return nil, usage("--config %s: unknown key %q: the keys are the names of the flags of scsd run", path, key)
		}
	}
	return doc, nil
}

// set gives a flag a value from elsewhere; a list may be one in YAML.
func set(fl *pflag.Flag, source string, value any) error {
	text := fmt.Sprint(value)
	if list, ok := value.([]any); ok {
		parts := make([]string, len(list))
		for i, v := range list {
			parts[i] = fmt.Sprint(v)
		}
		text = strings.Join(parts, ",")
	}
	if _, ok := value.(map[string]any); ok {
		return usage("%s: want a value, not a table", source)
	}
	if err := fl.Value.Set(text); err != nil {
		return usage("%s: %q: want %s", source, text, kind(fl.Value.Type()))
	}
	return notEmpty(fl, source)
}

// notEmpty refuses a list without anything in it: it would mean the default, and
// that of --dial-allow is not what an empty list of networks looks like.
func notEmpty(fl *pflag.Flag, source string) error {
	if list, ok := fl.Value.(pflag.SliceValue); ok && len(list.GetSlice()) == 0 {
		return &hinted{err: fmt.Errorf("%s is empty", source), hint: "give at least one value, or leave it out: the default counts then", usage: true}
	}
	return nil
}

// kind is what a flag wants, in words.
func kind(of string) string {
	switch of {
	case "int", "uint16", "uint64":
		return "a number"
	case "duration":
		return "a time such as 15s, 2160h or, for --event-life, 90d"
	}
	return "a " + of
}

// check finds what flags cannot say by their types.
func (s *settings) check() error {
	if s.data == "" {
		return usage("--data is missing: the data directory that scsd init made")
	}
	if s.kek == "" {
		return usage("--kek is missing: the file of the key-encryption key")
	}
	s.kek = credential(s.kek)
	err := s.checkAddrs()
	if err != nil {
		return err
	}
	if s.allow, err = parseNetworks("dial-allow", s.dialAllow); err != nil {
		return err
	}
	for flag, n := range map[string]int{
		"workers": s.workers, "attempt-workers": s.attemptWorkers, "hello-queue": s.helloQueue,
		"hello-conns": s.helloConns, "hello-conns-per-source": s.helloPerSource,
	} {
		if n < 1 || n > 1<<20 {
			return usage("--%s %d: want 1 to %d", flag, n, 1<<20)
		}
	}
	if s.readyFile != "" {
		if info, err := os.Stat(filepath.Dir(s.readyFile)); err != nil || !info.IsDir() {
			return usage("--ready-file %q: its folder is not there", s.readyFile)
		}
		if info, err := os.Stat(s.readyFile); err == nil && !info.Mode().IsRegular() {
			return usage("--ready-file %q: this is no regular file", s.readyFile)
		}
	}
	if err := checkServerNames(s.serverNames); err != nil {
		return err
	}
	return s.checkWords()
}

// apiNames are the names that the API's certificate is to have: none when no
// --server-name is given, and it stays as it is.
func (s *settings) apiNames() []string {
	if len(s.serverNames) == 0 {
		return nil
	}
	hostname, _ := os.Hostname()
	return serverNames(hostname, s.serverNames)
}

func (s *settings) checkWords() error {
	for _, w := range []struct {
		flag, value string
		want        []string
	}{
		{"log-level", s.logLevel, []string{"debug", "info", "warn", "error"}},
		{"log-format", s.logFormat, []string{"text", "json"}},
		{"pair-form", s.pairForm, []string{"undashed", "dashed"}},
		{"psk-form", s.pskForm, []string{"base64", "plain"}},
	} {
		if !slices.Contains(w.want, w.value) {
			return usage("--%s %q: want %s", w.flag, w.value, strings.Join(w.want, " or "))
		}
	}
	if s.devicePort < 2 {
		return usage("--device-port %d: want 2 to 65535", s.devicePort)
	}
	if s.stopTimeout < 0 || s.eventLife < time.Hour || s.eventLife > maxDays*24*time.Hour {
		return usage("--stop-timeout wants 0s or more, --event-life 1h to 10y")
	}
	if s.events == 0 {
		return usage("--events 0: want 1 or more: without events nobody can watch")
	}
	if _, err := s.psk(); err != nil {
		return err
	}
	return nil
}
