package amtsim

import (
	"context"
	"crypto/rsa"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// Operations that are no methods, as Call.Op names them.
const (
	opGet       = "Get"
	opPut       = "Put"
	opCreate    = "Create"
	opDelete    = "Delete"
	opEnumerate = "Enumerate"
	opPull      = "Pull"
	opRelease   = "Release"
	opIdentify  = "Identify"
)

// intrinsic maps actions to operations.
var intrinsic = map[string]string{
	nsTransfer + "/Get":          opGet,
	nsTransfer + "/Put":          opPut,
	nsTransfer + "/Create":       opCreate,
	nsTransfer + "/Delete":       opDelete,
	nsEnumeration + "/Enumerate": opEnumerate,
	nsEnumeration + "/Pull":      opPull,
	nsEnumeration + "/Release":   opRelease,
}

// classes is every class, by its URI.
var classes = classTable(
	classGeneralSettings, classSetupService, classSoftwareIdentity, classTimeService,
	classKeyService, classKeyPair, classCertificate,
	classTLSContext, classTLSCollection, classTLSSetting,
	classAuthorization, classRedirection, classKVM, classOptIn, classEthernet, classPowerScheme,
)

func classTable(list ...*class) map[string]*class {
	m := make(map[string]*class, len(list))
	for _, c := range list {
		m[c.uri] = c
	}
	return m
}

// knownCall reports whether pattern can match a call of any firmware.
func knownCall(pattern string) bool {
	if pattern == "*" || pattern == opIdentify {
		return true
	}
	for _, op := range intrinsic {
		for _, c := range classes {
			if matches(pattern, c.name, op) {
				return true
			}
		}
	}
	for _, c := range classes {
		for name := range c.methods {
			if matches(pattern, c.name, name) {
				return true
			}
		}
	}
	return false
}

// exchange is one request on its way to an answer.
type exchange struct {
	conn   net.Conn
	user   login
	env    *envelope
	class  *class
	op     string
	method *method
	index  int             // of the selected object
	key    *rsa.PrivateKey // made before d.mu is taken
	out    object          // outputs of a method
	// closing ends the connection after the answer.
	closing bool
	// changed says that the flash memory must be saved before the answer.
	changed bool
	status  Status
}

// verdict says what becomes of the connection.
type verdict uint8

const (
	answered verdict = 1
	dropped  verdict = 2 // close without an answer
)

// answer carries a request out and notes it. reply or fault is set if the verdict
// is answered.
func (d *Device) answer(ctx context.Context, x *exchange, body string) (r *reply, f *fault, v verdict) {
	x.env, f = parseEnvelope(body)
	if f == nil {
		f = d.route(x)
	}
	if f == nil && !d.wait(ctx, x) {
		return nil, nil, dropped
	}
	if f == nil {
		f = d.prepare(ctx, x)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if v = answered; f == nil {
		r, f, v = d.carryOut(x)
	}
	d.record(d.call(x, f, v))
	return r, f, v
}

// carryOut applies the troubles around a call and executes it, with d.mu held.
func (d *Device) carryOut(x *exchange) (*reply, *fault, verdict) {
	t := &d.opt.Trouble
	if strike(t.DropBefore, x.className(), x.op) {
		return nil, nil, dropped
	}
	r, f := d.refuse(x)
	if r == nil && f == nil {
		r, f = d.execute(x)
	}
	if x.changed {
		if err := d.save(); err != nil {
			return nil, faultStatus(FlashWriteLimit), answered
		}
	}
	if strike(t.DropAfter, x.className(), x.op) {
		return nil, nil, dropped
	}
	return r, f, answered
}

func (x *exchange) className() string {
	if x.class == nil {
		return ""
	}
	return x.class.name
}

// route finds class and operation and checks that the user may.
func (d *Device) route(x *exchange) *fault {
	if x.env.identify {
		x.op = opIdentify
		return nil
	}
	g := d.opt.Generation
	c := classes[x.env.resource]
	if c == nil || c.gate != nil && !c.gate(g) {
		return faultUnreachable("no such class")
	}
	x.class = c
	op, ok := intrinsic[x.env.action]
	if !ok {
		name, ours := strings.CutPrefix(x.env.action, c.uri+"/")
		m := c.methods[name]
		if !ours || m == nil || m.gate != nil && !m.gate(d) {
			return faultAction()
		}
		op, x.method = name, m
	}
	x.op = op
	if !x.user.may(c, op, x.method) {
		return faultAccess()
	}
	return nil
}

// may reports whether the user's realms allow the operation.
func (u login) may(c *class, op string, m *method) bool {
	if u.admin || slices.Contains(u.realms, amt.RealmPTAdministration) {
		return true
	}
	reads := op == opGet || op == opEnumerate || op == opPull || op == opRelease || m != nil && m.read
	if !reads {
		return false
	}
	return slices.ContainsFunc(c.read, func(r amt.Realm) bool { return slices.Contains(u.realms, r) })
}

// wait is the latency; it reports false when the device is switched off meanwhile.
func (d *Device) wait(ctx context.Context, x *exchange) bool {
	d.mu.Lock()
	var pause time.Duration
	for _, l := range d.opt.Trouble.Latency {
		if matches(l.Call, x.className(), x.op) {
			pause = l.Wait
			break
		}
	}
	d.mu.Unlock()
	return sleep(ctx, pause)
}

// sleep waits for d of real time; false means that ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// prepare does what must not be done with d.mu held: a key takes a while.
func (d *Device) prepare(ctx context.Context, x *exchange) *fault {
	if x.class != classKeyService || x.op != "GenerateKeyPair" || !d.willMakeKey() {
		return nil
	}
	key, err := d.opt.Keys.Take(ctx)
	if err != nil {
		return faultStatus(InternalError)
	}
	x.key = key
	return nil
}

// refuse applies the troubles that answer for the device.
func (d *Device) refuse(x *exchange) (*reply, *fault) {
	t := &d.opt.Trouble
	for i := range t.Refuse {
		r := &t.Refuse[i]
		if matches(r.Call, x.className(), x.op) && spend(&r.Times) {
			return d.fail(x, r.Status)
		}
	}
	if x.op == "CommitChanges" && spend(&t.CommitIgnored) {
		return d.fail(x, Success)
	}
	return nil, nil
}

// fail answers a method with status and nothing else, another operation with a
// fault.
func (d *Device) fail(x *exchange, status Status) (*reply, *fault) {
	x.status = status
	if x.method == nil {
		return nil, faultStatus(status)
	}
	x.out = nil
	return x.methodReply(), nil
}

// execute runs the operation with d.mu held.
func (d *Device) execute(x *exchange) (*reply, *fault) {
	switch x.op {
	case opIdentify:
		return d.identify(x)
	case opEnumerate:
		return d.enumerate(x)
	case opPull:
		return d.pull(x)
	case opRelease:
		return d.release(x)
	case opCreate:
		return d.create(x)
	}
	if x.method != nil {
		return d.invoke(x)
	}
	if f := d.selectObject(x); f != nil {
		return nil, f
	}
	switch x.op {
	case opGet:
		return d.get(x)
	case opPut:
		return d.put(x)
	}
	return d.delete(x)
}

func (d *Device) selectObject(x *exchange) *fault {
	i, f := x.class.find(x.class.list(d), x.env.selectors)
	x.index = i
	return f
}

// newReply begins the answer to an operation on x.class.
func (x *exchange) newReply(g string) *reply {
	return &reply{action: x.env.action + "Response", resource: x.class.uri, g: g, body: getBuffer()}
}

func (x *exchange) noBody() *fault {
	if x.env.body != nil {
		return faultSchema("a body where none belongs")
	}
	return nil
}

func (d *Device) get(x *exchange) (*reply, *fault) {
	if f := x.noBody(); f != nil {
		return nil, f
	}
	return d.objectReply(x), nil
}

// objectReply shows the selected object.
func (d *Device) objectReply(x *exchange) *reply {
	r := x.newReply(x.class.uri)
	r.common = x.class.common
	*r.body = x.class.list(d)[x.index].appendTo(*r.body, 'g', x.class.name)
	return r
}

// bodyOf checks that the body is the element of that name in the class.
func (x *exchange) bodyOf(name string) (*element, *fault) {
	b := x.env.body
	if b == nil || b.name != name || b.space != x.class.uri {
		return nil, faultSchema(fmt.Sprintf("the body is no %s", name))
	}
	return b, nil
}

func (d *Device) put(x *exchange) (*reply, *fault) {
	if x.class.put == nil {
		return nil, faultAction()
	}
	b, f := x.bodyOf(x.class.name)
	if f != nil {
		return nil, f
	}
	in, f := readInput(b, x.class.uri, x.class.props, d.opt.Generation.Version, faultRepresentation)
	if f != nil {
		return nil, f
	}
	if !x.class.sameKeys(in, x.class.list(d)[x.index]) {
		return nil, faultRepresentation("keys of another object")
	}
	if f := x.class.put(d, x, in); f != nil {
		x.status = f.status
		return nil, f
	}
	x.changed = true
	return d.objectReply(x), nil
}

func (d *Device) create(x *exchange) (*reply, *fault) {
	if x.class.create == nil {
		return nil, faultAction()
	}
	if len(x.env.selectors) > 0 {
		return nil, faultSelectors("Create takes no selectors")
	}
	b, f := x.bodyOf(x.class.name)
	if f != nil {
		return nil, f
	}
	in, f := readInput(b, x.class.uri, x.class.props, d.opt.Generation.Version, faultRepresentation)
	if f != nil {
		return nil, f
	}
	ref, f := x.class.create(d, x, in)
	if f != nil {
		x.status = f.status
		return nil, f
	}
	x.changed = true
	r := x.newReply(nsTransfer)
	b2 := appendOpen(*r.body, 'g', "ResourceCreated")
	*r.body = appendClose(ref.appendTo(b2), 'g', "ResourceCreated")
	return r, nil
}

func (d *Device) delete(x *exchange) (*reply, *fault) {
	if x.class.del == nil {
		return nil, faultAction()
	}
	if len(x.env.selectors) == 0 {
		return nil, faultSelectors("Delete without selectors")
	}
	if f := x.noBody(); f != nil {
		return nil, f
	}
	if f := x.class.del(d, x); f != nil {
		x.status = f.status
		return nil, f
	}
	x.changed = true
	return x.newReply(""), nil
}

func (d *Device) invoke(x *exchange) (*reply, *fault) {
	if x.method.selects && len(x.env.selectors) == 0 {
		return nil, faultSelectors("the method needs selectors")
	}
	if x.method.selects || len(x.env.selectors) > 0 {
		if f := d.selectObject(x); f != nil {
			return nil, f
		}
	}
	b, f := x.bodyOf(x.op + "_INPUT")
	if f != nil {
		return nil, f
	}
	in, f := readInput(b, x.class.uri, x.method.in, d.opt.Generation.Version, faultParameter)
	if f != nil {
		return nil, f
	}
	x.status = x.method.run(d, x, in)
	if x.status != Success {
		x.out = nil
	} else {
		x.changed = !x.method.read
	}
	return x.methodReply(), nil
}

// methodReply is the output and then ReturnValue, as every method has it.
func (x *exchange) methodReply() *reply {
	x.out.num("ReturnValue", uint32(x.status))
	r := x.newReply(x.class.uri)
	*r.body = x.out.appendTo(*r.body, 'g', x.op+"_OUTPUT")
	return r
}
