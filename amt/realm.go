package amt

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Realm is a permission of a digest or Kerberos user (AMT_AuthorizationService
// class page).
type Realm uint8

// The realms, by their WS-Man numbers; 22 is reserved.
const (
	RealmRedirection      Realm = 2
	RealmPTAdministration Realm = 3 // every other realm too
	RealmHardwareAsset    Realm = 4
	RealmRemoteControl    Realm = 5
	RealmStorage          Realm = 6
	RealmEventManager     Realm = 7
	RealmStorageAdmin     Realm = 8
	RealmAgentLocal       Realm = 9
	RealmAgentRemote      Realm = 10
	RealmCircuitBreaker   Realm = 11 // System Defense
	RealmNetworkTime      Realm = 12
	RealmGeneralInfo      Realm = 13
	RealmFirmwareUpdate   Realm = 14
	RealmEIT              Realm = 15
	RealmLocalUN          Realm = 16
	RealmEndpointAccess   Realm = 17
	RealmEndpointAdmin    Realm = 18
	RealmEventLogReader   Realm = 19
	RealmAuditLog         Realm = 20 // AMT 4.0 and later
	RealmACL              Realm = 21 // AMT 4.0 and later
	RealmDT               Realm = 23 // AMT 5.1 and later
	RealmLocalSystem      Realm = 24
)

var realmNames = map[Realm]string{
	RealmRedirection: "Redirection", RealmPTAdministration: "PTAdministration", RealmHardwareAsset: "HardwareAsset",
	RealmRemoteControl: "RemoteControl", RealmStorage: "Storage", RealmEventManager: "EventManager",
	RealmStorageAdmin: "StorageAdmin", RealmAgentLocal: "AgentPresenceLocal", RealmAgentRemote: "AgentPresenceRemote",
	RealmCircuitBreaker: "CircuitBreaker", RealmNetworkTime: "NetworkTime", RealmGeneralInfo: "GeneralInfo",
	RealmFirmwareUpdate: "FirmwareUpdate", RealmEIT: "EIT", RealmLocalUN: "LocalUN",
	RealmEndpointAccess: "EndpointAccessControl", RealmEndpointAdmin: "EndpointAccessControlAdmin",
	RealmEventLogReader: "EventLogReader", RealmAuditLog: "AuditLog", RealmACL: "ACL", RealmDT: "DTRealm",
	RealmLocalSystem: "LocalSystem",
}

// ParseRealm reads a realm's name in any case, or its number.
func ParseRealm(s string) (Realm, error) {
	for r, name := range realmNames {
		if strings.EqualFold(s, name) || s == strconv.Itoa(int(r)) {
			return r, nil
		}
	}
	return 0, fmt.Errorf("realm %q: no such realm: want one of %s", s, strings.Join(RealmNames(), ", "))
}

// RealmNames lists the names by their numbers.
func RealmNames() []string {
	realms := make([]Realm, 0, len(realmNames))
	for r := range realmNames {
		realms = append(realms, r)
	}
	sort.Slice(realms, func(i, j int) bool { return realms[i] < realms[j] })
	names := make([]string, len(realms))
	for i, r := range realms {
		names[i] = realmNames[r]
	}
	return names
}

// String names the realm.
func (r Realm) String() string {
	if name, ok := realmNames[r]; ok {
		return name
	}
	return fmt.Sprintf("unknown realm (%d)", uint8(r))
}
