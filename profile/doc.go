// Package profile reads, checks and writes profile documents: what an Intel AMT
// device shall be after set-up. A document is YAML or JSON; unknown fields are
// refused, and so is every value that AMT would refuse later, with the field's
// place and path and the way out.
//
// Most people need Parse, and Profile's fields. Passwords that a document fixes
// never stand in an error, and leave the document before it is stored: Secrets
// gives them, Encode writes the document without them, Open joins the two again.
//
// The package stores nothing, draws no host names from DNS, and knows nothing of
// WS-Management: settings turns a profile into calls. Which devices may have a
// profile is for provisioning to say.
package profile
