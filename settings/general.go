package settings

import (
	"context"
	"strconv"
	"strings"

	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// general is host name, domain and ping: AMT_GeneralSettings. With DHCP on, a
// host name must be set before CommitChanges (MOF text of CommitChanges).
//
// SharedFQDN and AMTNetworkEnabled are set where the firmware has them; both came
// with AMT 6.0.
func general(p *profile.Profile, d Device) Setting {
	host, domain, _ := strings.Cut(d.FQDN, ".")
	want := []struct{ field, value string }{
		{"AMTNetworkEnabled", "1"},
		{"HostName", host},
		{"DomainName", domain},
		{"SharedFQDN", strconv.FormatBool(p.HostName.Shared)},
		{"PingResponseEnabled", strconv.FormatBool(p.Network.Ping)},
		{"RmcpPingResponseEnabled", strconv.FormatBool(p.Network.RMCPPing)},
	}
	return &part[wsman.GeneralSettings]{
		name: "general",
		read: func(ctx context.Context, c *wsman.Client) (wsman.GeneralSettings, error) {
			return c.GeneralSettings(ctx)
		},
		diff: func(g wsman.GeneralSettings) ([]Difference, string) {
			var diff []Difference
			for _, w := range want {
				if name := w.field == "HostName" || w.field == "DomainName"; name && d.FQDN == "" || !name && !g.Has(w.field) {
					continue
				}
				compareField(&diff, w.field, w.value, g.Value(w.field))
			}
			return diff, ""
		},
		write: func(ctx context.Context, c *wsman.Client, _ Journal, g wsman.GeneralSettings, diff []Difference) error {
			for _, f := range diff {
				g.Set(f.Field, f.Want)
			}
			_, err := c.PutGeneralSettings(ctx, g)
			return err
		},
	}
}
