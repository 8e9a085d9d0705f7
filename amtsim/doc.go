// Package amtsim plays Intel AMT devices for tests and demonstrations of a set-up
// and configuration server: a device boots from a setup record, says hello on the
// firmware's schedule, serves TLS-PSK and WS-Management, takes a profile, commits,
// and then serves TLS with the certificate it was given.
//
// Most callers need New, Device.Run and Device.WaitPhase for one device, or
// NewFleet for many that boot from one setup.bin:
//
//	d, err := amtsim.New(amtsim.Options{
//		Generation: amtsim.AMT90,
//		Addr:       netip.MustParseAddr("127.0.0.2"),
//		Server:     "127.0.0.1:9971",
//		Setup:      amtsim.Setup{Pair: pair, NewPassword: password},
//	})
//	go d.Run(ctx)
//	err = d.WaitPhase(ctx, amt.Operational)
//
// # Strictness
//
// A device refuses whatever it does not know: another path or content type, XML
// beyond the plain subset that SOAP needs, unknown headers that must be
// understood, unknown classes, actions and selectors, and input elements that are
// unknown, missing, doubled, out of order or of the wrong type. Replies have the
// element names, the element order, the prefixes, the header order and the chunk
// sizes that were recorded from devices. What a generation of firmware can do
// stands in one table (Generations); facts about firmware that nobody confirmed
// are fields of Options and say "unverified" in their comments. Troubles are
// switched on by Options.Trouble; without it a device behaves well.
//
// # What it is not
//
// It is no security boundary and no firmware: secrets lie in its memory and, when
// Options.StateFile is set, in clear in that file. It has no redirection, KVM, web
// pages, event log, power control, Kerberos log-in, wireless or PKI set-up, and it
// shares no WS-Management code with the server, so that the two cannot agree on a
// mistake.
package amtsim
