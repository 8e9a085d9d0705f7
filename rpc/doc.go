// Package rpc serves the API of proto/scs/v1 over gRPC: it checks who calls and
// what they ask for, calls the packages of the domain, keeps the audit log, and
// turns what they return into messages and their errors into statuses.
//
// A call goes this way: TLS has verified a client certificate of the API's own
// intermediate; its serial is looked up in access, on each call; the table of
// methods (methods.go) says whether the user's role may call the method; the
// request is validated, every fault with the path of its field; the change and
// its audit entry are one transaction. Secrets are in the answers of RevealKey,
// RevealDevicePassword and ExportBatch alone, and only after their audit entry is
// on disk. Errors become statuses by one table (errors.go). No message is ever
// logged: a log line has method, user, object, code, reason and time.
//
// It opens no store and no listener, knows no devices and no wire format but
// gRPC's, and does not decide what a profile, a pair or a workflow is.
package rpc
