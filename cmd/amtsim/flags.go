package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
)

// flags are the values of the command line, as typed.
type flags struct {
	usb, oem                string
	count                   int
	firmware                string
	addr                    string
	port, clearPort         uint16
	server                  string
	clock                   float64
	helloDelay              bool
	window                  time.Duration
	plainSetup              bool
	state, user, password   string
	passwordFile            string
	tls                     bool
	seed, keys, stateDir    string
	mebx, psk               string
	forgetPair, followsMEBx bool
	tlsReadCurrent          bool
	refuseSHA256            bool
	clockSkew, latency      time.Duration
	connections             int
	troubles                []string
	json, verbose           bool
	until                   string
}

const longHelp = `amtsim plays Intel AMT PCs against a set-up and configuration server.

Each device takes one record of the setup.bin given with --usb, which is updated
as firmware does it, listens on its own address, the first on --addr and each
further one on the next, and says hello from there. It ends on SIGINT or SIGTERM.

--trouble is a comma-separated list, and may be given several times. An item may
begin with the devices it is for, as in 3:tarpit or 0-4:AddKey=2. The items are
  CALL=STATUS[*TIMES]       refuse a call, for ever or that often: AddKey=2, AMT_TLSSettingData.Put=1*3
  drop-before=CALL[*TIMES]  close the connection before carrying a call out, once or that often
  drop-after=CALL[*TIMES]   close it after carrying the call out, without an answer
  latency=[CALL/]DURATION   delay answers: latency=50ms, latency=AddKey/2s
  busy-keys=N               answer N key generations with 2082, operation in progress
  commit-drops              carry CommitChanges out once and close without an answer
  commit-ignored=N          answer N commits with success and do nothing
  wrong-pps wrong-uuid      serve another key than the pair's, or name another board
  tarpit garbage endless    say nothing, say nonsense, never end
  strict-nonce              refuse a nonce count that is not one more than the last
  nonce-reset=N             forget the nonces after every N requests
  stale-false               say stale="false" where the client's nonce was only too old
  login-lock=N              refuse every log-in after N failed ones in a row
Without --trouble nothing goes wrong.`

func command() *cobra.Command {
	f := new(flags)
	root := &cobra.Command{
		Use: "amtsim", Short: "plays Intel AMT PCs", Long: longHelp,
		Args: noArgs, SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE:              func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f.define(root)
	root.AddCommand(keysCommand())
	return root
}

// noArgs refuses arguments, as usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError{err}
	}
	return nil
}

func (f *flags) define(cmd *cobra.Command) {
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&f.usb, "usb", "", "boot from this setup.bin, or disk image with one, one record for each device; the file is updated")
	s.StringVar(&f.oem, "oem", "", "take the pairs of this CSV file, pid,pps,mebx_password, as from the factory")
	s.IntVarP(&f.count, "count", "n", 1, "number of devices")
	s.StringVar(&f.firmware, "amt", "9.0", "firmware of the devices, in turn: 2.2, 3.2, 6.2, 9.0, 10.0")
	s.StringVar(&f.addr, "addr", "127.0.0.2", "address of the first device")
	s.Uint16Var(&f.port, "port", amt.PortTLS, "port of set-up and of TLS")
	s.Uint16Var(&f.clearPort, "clear-port", 0, "port of HTTP in clear (default: --port less one)")
	s.StringVar(&f.server, "server", "", "HOST or HOST:PORT of the server, in place of DNS (default: the record's, else provisionserver:9971)")
	s.Float64Var(&f.clock, "clock", 1, "how much faster hellos follow one another: 60 makes a minute a second")
	s.BoolVar(&f.helloDelay, "hello-delay", false, "say the first hello after a minute instead of at once")
	s.DurationVar(&f.window, "window", 0, "close the set-up interface after this time; 0 never")
	s.BoolVar(&f.plainSetup, "plain-setup", false, "serve the set-up interface without TLS")
	s.StringVar(&f.state, "state", "factory", "factory, or operational: set up before, with --user and --password")
	s.StringVar(&f.user, "user", amt.AdminUser, "digest user of an operational device")
	s.StringVar(&f.password, "password", "", "its password; seen by everyone on this machine: see --password-file")
	s.StringVar(&f.passwordFile, "password-file", "", "file whose first line is its password")
	s.BoolVar(&f.tls, "tls", false, "let it serve a self-signed certificate; without, HTTP in clear on --port")
	s.StringVar(&f.seed, "seed", "", "make the same UUIDs each time (default: random ones)")
	s.StringVar(&f.keys, "keys", "", "take device keys from this file of amtsim keys, as far as they last")
	s.StringVar(&f.stateDir, "state-dir", "", "keep the devices' state, secrets in clear, in this folder, and go on from it")
	s.StringVar(&f.mebx, "mebx", "during-setup", "when SetMEBxPassword is obeyed: default-only, during-setup, anytime")
	s.StringVar(&f.psk, "psk", "commit", "when SetTLSPSK takes effect: commit, once (at once), fault (not known)")
	s.BoolVar(&f.forgetPair, "forget-pair", false, "forget the pair at a commit that brought no new one")
	s.BoolVar(&f.followsMEBx, "admin-follows-mebx", false, "change the admin's digest password with the MEBx password")
	s.BoolVar(&f.tlsReadCurrent, "tls-read-current", false, "show the TLS settings in force, not those that wait for a commit")
	s.BoolVar(&f.refuseSHA256, "refuse-sha256", false, "AMT 3.2: refuse certificates signed with SHA-256")
	s.DurationVar(&f.clockSkew, "clock-skew", -37*time.Minute, "how wrong the devices' clocks are at first")
	s.IntVar(&f.connections, "max-connections", 0, "connections that a device takes at once; 0 is no limit")
	s.DurationVar(&f.latency, "latency", 0, "delay every answer: short for --trouble latency=...")
	s.StringArrayVar(&f.troubles, "trouble", nil, "what goes wrong: see above")
	s.BoolVar(&f.json, "json", false, "print events as JSON, one a line")
	s.BoolVarP(&f.verbose, "verbose", "v", false, "print every WS-Man call too")
	s.StringVar(&f.until, "until", "", "operational: end when all devices are Operational")
}

// options turns the flags into those of a fleet.
func (f *flags) options(cmd *cobra.Command) (amtsim.FleetOptions, error) {
	o := amtsim.FleetOptions{Count: f.count, Seed: f.seed, StateDir: f.stateDir, Troubles: f.troubles}
	var err error
	if o.Generations, err = amtsim.ParseGenerations(f.firmware); err != nil {
		return o, usageError{err}
	}
	addr, err := netip.ParseAddr(f.addr)
	if err != nil {
		return o, usage("--addr %q: want an address such as 127.0.0.2", f.addr)
	}
	if f.until != "" && f.until != "operational" {
		return o, usage("--until %q: want operational", f.until)
	}
	if f.latency > 0 {
		o.Troubles = append(o.Troubles, "latency="+f.latency.String())
	}
	o.Device = amtsim.Options{
		Addr: addr, Port: f.port, ClearPort: f.clearPort, Server: f.server, ClockFactor: f.clock,
		HelloDelay: f.helloDelay, Window: f.window, PlainSetup: f.plainSetup, ClockSkew: f.clockSkew,
		ForgetPair: f.forgetPair, AdminFollowsMEBx: f.followsMEBx, TLSReadCurrent: f.tlsReadCurrent,
		RefuseSHA256: f.refuseSHA256, USB: f.usb, Limits: amtsim.Limits{Connections: f.connections},
		Keys: amtsim.NewKeyPool(nil),
	}
	if f.keys != "" {
		if err := o.Device.Keys.Load(f.keys); err != nil {
			return o, err
		}
	}
	if err := f.policies(&o.Device); err != nil {
		return o, err
	}
	return o, f.source(cmd, &o)
}

// policies reads the switches that choose between readings.
func (f *flags) policies(o *amtsim.Options) error {
	mebx, ok := map[string]amtsim.MEBxPolicy{
		"default-only": amtsim.MEBxDefaultOnly, "during-setup": amtsim.MEBxDuringSetup, "anytime": amtsim.MEBxAnytime,
	}[f.mebx]
	if !ok {
		return usage("--mebx %q: want default-only, during-setup or anytime", f.mebx)
	}
	psk, ok := map[string]amtsim.PSKPolicy{
		"commit": amtsim.PSKAtCommit, "once": amtsim.PSKAtOnce, "fault": amtsim.PSKFault,
	}[f.psk]
	if !ok {
		return usage("--psk %q: want commit, once or fault", f.psk)
	}
	o.MEBx, o.PSK = mebx, psk
	return nil
}

// source says what the devices begin with.
func (f *flags) source(cmd *cobra.Command, o *amtsim.FleetOptions) error {
	switch f.state {
	case "operational":
		if f.usb != "" || f.oem != "" {
			return usage("--state operational needs no --usb and no --oem")
		}
		return f.operational(cmd, o)
	case "factory":
	default:
		return usage("--state %q: want factory or operational", f.state)
	}
	if (f.usb == "") == (f.oem == "") && f.stateDir == "" {
		return usage("want --usb setup.bin, --oem pairs.csv or --state operational")
	}
	if f.oem == "" {
		return nil
	}
	var err error
	o.Setups, err = readOEM(f.oem)
	if err == nil && len(o.Setups) < f.count {
		err = fmt.Errorf("%s holds %d pairs for %d devices", f.oem, len(o.Setups), f.count)
	}
	return err
}

func (f *flags) operational(cmd *cobra.Command, o *amtsim.FleetOptions) error {
	password := f.password
	if f.passwordFile != "" {
		b, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return fmt.Errorf("password: %w", err)
		}
		password, _, _ = strings.Cut(string(b), "\n")
		password = strings.TrimSuffix(password, "\r")
	}
	if password == "" {
		return usage("--state operational needs --password or --password-file")
	}
	o.Device.Operational = &amtsim.Operational{User: f.user, Password: amt.NewSecretString(password), TLS: f.tls}
	if !f.tls && !cmd.Flags().Changed("clear-port") {
		if cmd.Flags().Changed("port") {
			o.Device.ClearPort, o.Device.Port = f.port, f.port+1
		} else {
			o.Device.ClearPort = amt.PortHTTP
		}
	}
	return nil
}

// readOEM reads lines of pid,pps,mebx_password. A first line that names the
// columns is passed over, and so are empty lines. Errors name the line and never
// show it.
func readOEM(path string) ([]amtsim.Setup, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("OEM pairs: %w", err)
	}
	var list []amtsim.Setup
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || i == 0 && strings.HasPrefix(strings.ToLower(line), "pid,") {
			continue
		}
		cells := strings.Split(line, ",")
		if len(cells) != 3 {
			return nil, fmt.Errorf("%s:%d: want pid,pps,mebx_password", path, i+1)
		}
		pid, err := amt.ParsePID(cells[0])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		pps, err := amt.ParsePPS(cells[1])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		list = append(list, amtsim.Setup{Pair: amt.Pair{PID: pid, PPS: pps}, NewPassword: amt.NewSecretString(cells[2])})
	}
	return list, nil
}
