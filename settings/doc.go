// Package settings turns the parts of a profile into calls on a device: one file
// for each part, each of which knows how to read the device, compare it with the
// profile, and write what differs.
//
// For gives the settings of a profile in the order to apply them. Apply reads,
// compares, writes only what differs, reads again and compares again; Compare
// stops after the first comparison, which is how drift is found. Both are safe to
// repeat after a crash or a lost connection, because they begin with what the
// device says. Two things cannot be read back: passwords, which are written
// whenever Device.Passwords holds one, and TLS settings, which a device takes at
// CommitChanges only and may not show before.
//
// Results name fields and values, never secrets.
//
// It sets no clock, makes no keys or certificates, changes no administrator's
// password and commits nothing: provisioning does, in its order. It stores nothing.
package settings
