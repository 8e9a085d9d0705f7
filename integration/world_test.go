package integration

import (
	"context"
	"encoding/pem"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/integration/lab"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// bin is the folder of the programs that TestMain builds: the product with the
// crashtest tag, which lets a test kill scsd at a numbered step.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "amtscs-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bin = dir
	status := 1
	if out, err := buildPrograms(dir); err != nil {
		fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
	} else {
		parallel()
		status = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// parallel lets more tests run at once than there are cores, unless the command
// line says how many: they mostly wait for devices.
func parallel() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0)))
	}
}

func buildPrograms(dir string) ([]byte, error) {
	args := []string{"build", "-tags", "nobadger,nomysql,nopgx,crashtest", "-o", dir + "/"}
	if raceEnabled {
		args = append(args, "-race")
	}
	return exec.Command("go", append(args, "../cmd/scsd", "../cmd/scsctl", "../cmd/amtsim")...).CombinedOutput()
}

// requirePeer skips the test when a program it needs is absent, and fails it
// where AMTSCS_REQUIRE_PEERS says that it must be there.
func requirePeer(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("AMTSCS_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is required and missing", name)
	}
	t.Skipf("%s is missing: install it to run this test", name)
}

// deviceKeys is shared by all fleets: a key costs a good part of a second.
var deviceKeys = amtsim.NewKeyPool(nil)

// A world is a server of the real programs and a simulated fleet in this process,
// whose truth the server's store can be compared with.
type world struct {
	*lab.Lab
	t     *testing.T
	fleet *amtsim.Fleet
}

// newWorld makes a data directory and starts nothing.
func newWorld(t *testing.T, devices int) *world {
	t.Helper()
	l, err := lab.New(bin, t.TempDir(), devices)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &world{Lab: l, t: t}
}

// serve starts scsd; the test's end stops it, if it still runs.
func (w *world) serve(o lab.ServerOptions) *lab.Process {
	w.t.Helper()
	p, err := w.StartServer(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		select {
		case <-p.Done():
		default:
			if err := p.Stop(); err != nil {
				w.t.Error(err)
			}
		}
	})
	return p
}

// scsctl runs the operator's tool and decodes its JSON into m, unless m is nil.
func (w *world) scsctl(m proto.Message, args ...string) {
	w.t.Helper()
	out, err := w.Run(context.WithoutCancel(w.t.Context()), append(args, "-o", "json")...)
	if err != nil {
		w.t.Fatalf("%v\nscsd: %s", err, w.serverLog())
	}
	if m == nil {
		return
	}
	if err := protojson.Unmarshal(out, m); err != nil {
		w.t.Fatalf("scsctl %s: %v", strings.Join(args, " "), err)
	}
}

func (w *world) serverLog() string {
	b, _ := os.ReadFile(w.Path("scsd.log"))
	return string(b[max(0, len(b)-6000):])
}

// boot makes the fleet of the given generations boot from a setup.bin, device i
// taking record i.
func (w *world) boot(usb string, n int, generations []*amtsim.Generation, change func(*amtsim.FleetOptions)) {
	w.t.Helper()
	o := amtsim.FleetOptions{
		Count: n, Generations: generations, Seed: w.t.Name(),
		Device: amtsim.Options{
			USB: usb, Addr: netip.MustParseAddr(w.Net + ".1"), Port: uint16(w.Port), Server: w.Addrs.Hello,
			ClockFactor: 60, Keys: deviceKeys,
		},
	}
	if change != nil {
		change(&o)
	}
	fleet, err := amtsim.NewFleet(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.fleet = fleet
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan error, 1)
	go func() { done <- fleet.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			w.t.Errorf("fleet: %v", err)
		}
	})
}

// waitOperational waits until the server says of n devices that they are done.
func (w *world) waitOperational(n int, limit time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), limit)
	defer cancel()
	if _, err := w.Run(ctx, "watch", "--until", "operational", "-n", fmt.Sprint(n)); err != nil {
		states, _ := w.Run(context.WithoutCancel(ctx), "device", "list")
		w.t.Fatalf("%d devices did not become Operational within %v: %v\n%s\nscsd: %s", n, limit, err, states, w.serverLog())
	}
}

// checkAll compares what the server keeps with the truth of each device: states,
// passwords, pairs, certificates. keys is how many pairs its batch had.
func (w *world) checkAll(keys int) {
	w.t.Helper()
	var devices scsv1.ListDevicesResponse
	w.scsctl(&devices, "device", "list")
	if got, want := len(devices.Devices), len(w.fleet.Devices()); got != want {
		w.t.Errorf("devices: got %d, want %d", got, want)
	}
	byUUID := map[string]*scsv1.Device{}
	for _, d := range devices.Devices {
		byUUID[d.Uuid] = d
	}
	pairs := w.pairs()
	certificates := w.certificates()
	for _, sim := range w.fleet.Devices() {
		truth := sim.Snapshot()
		d := byUUID[truth.UUID.String()]
		if d == nil {
			w.t.Errorf("device %v is not in the store", truth.UUID)
			continue
		}
		if truth.Phase != amt.Operational || d.State != scsv1.WorkflowState_WORKFLOW_STATE_OPERATIONAL {
			w.t.Errorf("device %v: it is %v, the store says %v", truth.UUID, truth.Phase, d.State)
		}
		w.checkPasswords(sim, truth)
		w.checkPair(truth, d, pairs)
		w.checkCertificate(truth, d, certificates)
	}
	if got, want := len(pairs), keys+len(w.fleet.Devices()); got != want {
		w.t.Errorf("pairs: got %d, want %d of the batch and one for the next set-up of each device", got, want)
	}
	var verified scsv1.VerifyAuditLogResponse
	w.scsctl(&verified, "audit", "verify")
}

// pairs lists all pairs by PID and checks that none is there twice.
func (w *world) pairs() map[string]*scsv1.Key {
	w.t.Helper()
	var list scsv1.ListKeysResponse
	w.scsctl(&list, "keys", "list")
	pairs := map[string]*scsv1.Key{}
	for _, k := range list.Keys {
		if pairs[k.Pid] != nil {
			w.t.Errorf("pair %s is listed twice", k.Pid)
		}
		pairs[k.Pid] = k
	}
	return pairs
}

// certificates lists all certificates by serial and checks that none is there
// twice.
func (w *world) certificates() map[string]*scsv1.Certificate {
	w.t.Helper()
	var list scsv1.ListCertificatesResponse
	w.scsctl(&list, "certificate", "list")
	certificates := map[string]*scsv1.Certificate{}
	for _, c := range list.Certificates {
		if certificates[c.Serial] != nil {
			w.t.Errorf("serial %s is listed twice", c.Serial)
		}
		certificates[c.Serial] = c
	}
	return certificates
}

// checkPasswords wants the store's current passwords to be the device's.
func (w *world) checkPasswords(sim *amtsim.Device, truth amtsim.Snapshot) {
	w.t.Helper()
	var answer scsv1.RevealDevicePasswordResponse
	w.scsctl(&answer, "device", "password", truth.UUID.String(), "--reason", "test")
	admin, mebx := false, false
	for _, p := range answer.Passwords {
		secret := amt.NewSecretString(p.Password)
		switch {
		case p.User == "admin" && strings.EqualFold(p.Version, "current"):
			admin = sim.CheckAdmin(secret)
		case strings.EqualFold(p.User, "mebx"):
			mebx = mebx || secret.Equal(truth.MEBx)
		}
	}
	if !admin {
		w.t.Errorf("device %v: the store's current admin password does not log in", truth.UUID)
	}
	if !mebx {
		w.t.Errorf("device %v: its MEBx password is not in the store", truth.UUID)
	}
}

// checkPair wants the pair the device holds to be the store's next pair of it.
func (w *world) checkPair(truth amtsim.Snapshot, d *scsv1.Device, pairs map[string]*scsv1.Key) {
	w.t.Helper()
	pid := truth.Pair.PID.String()
	if d.NextPid != pid {
		w.t.Errorf("device %v holds pair %s for its next set-up, the store says %q", truth.UUID, pid, d.NextPid)
		return
	}
	k := pairs[pid]
	if k == nil || k.State != scsv1.KeyState_KEY_STATE_RESERVED || k.Uuid != d.Uuid {
		w.t.Errorf("device %v: its next pair %s is %v", truth.UUID, pid, k)
		return
	}
	var answer scsv1.RevealKeyResponse
	w.scsctl(&answer, "keys", "reveal", pid, "--reason", "test")
	if answer.Pps != amt.RevealPPS(truth.Pair.PPS) {
		w.t.Errorf("device %v: the store has another PPS for %s", truth.UUID, pid)
	}
	if used := pairs[d.Pid]; used == nil || used.State != scsv1.KeyState_KEY_STATE_SPENT || used.Uuid != d.Uuid {
		w.t.Errorf("device %v: the pair %s of this set-up is %v, want spent by it", truth.UUID, d.Pid, used)
	}
}

// checkCertificate wants the certificate that the device presents to be the
// store's current one of it.
func (w *world) checkCertificate(truth amtsim.Snapshot, d *scsv1.Device, certificates map[string]*scsv1.Certificate) {
	w.t.Helper()
	for _, c := range truth.Certs {
		if !c.Presented {
			continue
		}
		kept := certificates[d.CertificateSerial]
		if kept == nil {
			w.t.Errorf("device %v: certificate %q is not in the store", truth.UUID, d.CertificateSerial)
			return
		}
		block, _ := pem.Decode([]byte(kept.Pem))
		if block == nil || string(block.Bytes) != string(c.DER) || kept.Holder != d.Uuid {
			w.t.Errorf("device %v presents another certificate than serial %s of the store", truth.UUID, kept.Serial)
		}
		return
	}
	w.t.Errorf("device %v presents no certificate of ours", truth.UUID)
}

// store is the path of the server's store.
func (w *world) store() string { return filepath.Join(w.Path("data"), "scs.db") }
