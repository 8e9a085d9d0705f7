package settings

import "github.com/amtscs/amtscs/profile"

func general(p *profile.Profile, d Device) Setting     { panic("not yet") }
func redirection(p *profile.Profile, d Device) Setting { panic("not yet") }
func kvm(p *profile.Profile, d Device) Setting         { panic("not yet") }
func consent(p *profile.Profile, d Device) Setting     { panic("not yet") }
func power(p *profile.Profile) Setting                 { panic("not yet") }
func remoteTLS(p *profile.Profile) Setting             { panic("not yet") }
func localTLS(p *profile.Profile) Setting              { panic("not yet") }
func users(p *profile.Profile, d Device) Setting       { panic("not yet") }
func ethernet(p *profile.Profile) Setting              { panic("not yet") }
