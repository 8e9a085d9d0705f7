package settings

import (
	"context"
	"strconv"
	"strings"

	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// remoteTLS is TLS at the network interface: AMT_TLSSettingData "Intel(r) AMT
// 802.3 TLS Settings".
func remoteTLS(p *profile.Profile) Setting {
	mutual := p.TLS.Mode == profile.MutualTLS
	var trusted []string
	if mutual {
		trusted = p.TLS.TrustedCNs
	}
	return tlsPart("tls", wsman.TLSRemote, p.TLS.Mode != profile.NoTLS, mutual, p.TLS.AllowPlain, trusted)
}

// localTLS is TLS at the host's own interface: "Intel(r) AMT LMS TLS Settings".
// The host's software has no client certificate and may not speak TLS at all, so
// neither a certificate nor TLS is asked of it.
func localTLS(p *profile.Profile) Setting {
	return tlsPart("local-tls", wsman.TLSLocal, p.TLS.Mode != profile.NoTLS, false, true, nil)
}

// tlsPart writes one instance. It takes effect at CommitChanges (except TrustedCN
// alone), and whether a Get before that shows the new values is unverified: the
// device is not read again, and an Apply before the commit may write once more.
func tlsPart(name, instance string, enabled, mutual, plain bool, trusted []string) Setting {
	return &part[wsman.TLSSettings]{
		name:    name,
		pending: "takes effect at the commit",
		read: func(ctx context.Context, c *wsman.Client) (wsman.TLSSettings, error) {
			return c.TLSSettings(ctx, instance)
		},
		diff: func(s wsman.TLSSettings) ([]Difference, string) {
			var diff []Difference
			compareField(&diff, "Enabled", strconv.FormatBool(enabled), strconv.FormatBool(s.Enabled()))
			compareField(&diff, "MutualAuthentication", strconv.FormatBool(mutual), strconv.FormatBool(s.Mutual()))
			if enabled && s.Has("AcceptNonSecureConnections") {
				compareField(&diff, "AcceptNonSecureConnections", strconv.FormatBool(plain), strconv.FormatBool(s.AcceptPlain()))
			}
			compareField(&diff, "TrustedCN", strings.Join(trusted, " "), strings.Join(s.TrustedCN(), " "))
			return diff, ""
		},
		write: func(ctx context.Context, c *wsman.Client, _ Journal, s wsman.TLSSettings, _ []Difference) error {
			s.Change(enabled, mutual, plain || !enabled && s.AcceptPlain(), trusted)
			_, err := c.PutTLSSettings(ctx, s)
			return err
		},
	}
}
