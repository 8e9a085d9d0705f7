// Package provisioning is the engine that takes a device from its hello message
// to Operational, durably: workflows, their states and steps, schedules, devices
// and their passwords, profiles, the inbox and the event log.
//
// Most callers need four functions: New, Run, Engine.Hello for what a
// hello.Listener receives, and Engine.Events for what happened since.
//
// A hello is a trigger, never a fact. It becomes an attempt: the peer is dialled
// with the pair that the hello names, logs us in, and names its UUID; only then
// does one transaction claim the pair and create the device, its workflow and
// the first event. A workflow is a list of numbered steps (docs/lifecycle.md). A
// call that cannot be repeated blindly has a stored intention before it and a
// stored result after it, and every value that a device is to hold (password,
// pair, public key) is stored before it is sent. A workflow that is taken up
// again reads the device's state back and goes on from there.
//
// A workflow's State says what is already true of the device, its Status what is
// being done about it. A change of either and its event are one transaction.
// Event sequences rise in the order of commits.
//
// The package parses no bytes of a hello (hello), speaks no WS-Management
// (wsman, settings), keeps no pairs (keystore), signs nothing (Issuer), knows
// neither gRPC nor a database driver, and decides nothing about who may ask it
// for what (rpc).
package provisioning
