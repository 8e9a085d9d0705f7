package rpc

import (
	"slices"
	"strings"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	"github.com/amtscs/amtscs/access"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// Rule says who may call a method, and whether calls are audited: those that
// change something or bring a secret. Of audited methods the refused and failed
// calls are in the audit log, too.
type Rule struct {
	Roles []access.Role // none: every user
	Audit bool
}

// Allows reports whether a user of the role may call the method.
func (r Rule) Allows(role access.Role) bool {
	return role.Valid() && (len(r.Roles) == 0 || slices.Contains(r.Roles, role))
}

const (
	admin       = access.Admin
	operator    = access.Operator
	staging     = access.Staging
	procurement = access.Procurement
	desk        = access.Desk
	auditor     = access.Auditor
)

func reads(roles ...access.Role) Rule { return Rule{Roles: roles} }

func changes(roles ...access.Role) Rule { return Rule{Roles: roles, Audit: true} }

// methods is the table of who may call what. A method that is not in it is
// refused; docs/api.md shows the table.
var methods = map[string]Rule{
	scsv1.KeyService_GenerateKeys_FullMethodName:   changes(admin, staging),
	scsv1.KeyService_ImportKeys_FullMethodName:     changes(admin, procurement),
	scsv1.KeyService_GetKey_FullMethodName:         reads(admin, operator, staging, procurement, auditor),
	scsv1.KeyService_ListKeys_FullMethodName:       reads(admin, operator, staging, procurement, auditor),
	scsv1.KeyService_RevokeKey_FullMethodName:      changes(admin, operator, procurement),
	scsv1.KeyService_RestoreKey_FullMethodName:     changes(admin, operator, procurement),
	scsv1.KeyService_SetKeyPassword_FullMethodName: changes(admin, operator, staging, procurement),
	scsv1.KeyService_RevealKey_FullMethodName:      changes(admin, staging),
	scsv1.KeyService_GetBatch_FullMethodName:       reads(admin, operator, staging, procurement, auditor),
	scsv1.KeyService_ListBatches_FullMethodName:    reads(admin, operator, staging, procurement, auditor),
	scsv1.KeyService_ExportBatch_FullMethodName:    changes(admin, staging),
	scsv1.KeyService_FinishExport_FullMethodName:   changes(admin, staging),

	scsv1.KeyService_UpdateBatch_FullMethodName:      changes(admin, procurement),
	scsv1.KeyService_RetireBatch_FullMethodName:      changes(admin, procurement),
	scsv1.KeyService_SetKeyMapping_FullMethodName:    changes(admin, procurement),
	scsv1.KeyService_GetKeyMapping_FullMethodName:    reads(admin, operator, staging, procurement, auditor),
	scsv1.KeyService_ListKeyMappings_FullMethodName:  reads(admin, operator, staging, procurement, auditor),
	scsv1.KeyService_DeleteKeyMapping_FullMethodName: changes(admin, procurement),

	scsv1.ProfileService_ApplyProfile_FullMethodName: changes(admin, operator),
	scsv1.ProfileService_GetProfile_FullMethodName:   reads(admin, operator, staging, procurement, auditor),
	scsv1.ProfileService_ListProfiles_FullMethodName: reads(admin, operator, staging, procurement, auditor),

	scsv1.DeviceService_GetDevice_FullMethodName:            reads(admin, operator, staging, desk, auditor),
	scsv1.DeviceService_ListDevices_FullMethodName:          reads(admin, operator, staging, desk, auditor),
	scsv1.DeviceService_AssignDevice_FullMethodName:         changes(admin, operator),
	scsv1.DeviceService_ImportDevices_FullMethodName:        changes(admin, operator),
	scsv1.DeviceService_RetryDevice_FullMethodName:          changes(admin, operator, staging),
	scsv1.DeviceService_PauseDevice_FullMethodName:          changes(admin, operator),
	scsv1.DeviceService_CancelDevice_FullMethodName:         changes(admin, operator),
	scsv1.DeviceService_RevealDevicePassword_FullMethodName: changes(admin, operator),

	scsv1.ProvisioningService_GetWorkflow_FullMethodName:   reads(admin, operator, staging, desk, auditor),
	scsv1.ProvisioningService_ListWorkflows_FullMethodName: reads(admin, operator, staging, desk, auditor),
	scsv1.ProvisioningService_ListInbox_FullMethodName:     reads(admin, operator, staging, desk, auditor),
	scsv1.ProvisioningService_DismissInbox_FullMethodName:  changes(admin, operator),
	scsv1.ProvisioningService_ListEvents_FullMethodName:    reads(admin, operator, staging, desk, auditor),
	scsv1.ProvisioningService_Watch_FullMethodName:         reads(admin, operator, staging, desk, auditor),

	scsv1.CertificateService_GetBundle_FullMethodName:         reads(),
	scsv1.CertificateService_GetRevocationList_FullMethodName: reads(),
	scsv1.CertificateService_ListCertificates_FullMethodName:  reads(admin, operator, auditor),
	scsv1.CertificateService_RevokeCertificate_FullMethodName: changes(admin),

	scsv1.UserService_CreateUser_FullMethodName:       changes(admin),
	scsv1.UserService_ListUsers_FullMethodName:        reads(admin, auditor),
	scsv1.UserService_RevokeUser_FullMethodName:       changes(admin),
	scsv1.UserService_RenewCertificate_FullMethodName: changes(),
	scsv1.UserService_WhoAmI_FullMethodName:           reads(),

	scsv1.AuditService_ListAuditEntries_FullMethodName: reads(admin, auditor),
	scsv1.AuditService_VerifyAuditLog_FullMethodName:   reads(admin, auditor),

	grpc_health_v1.Health_Check_FullMethodName: reads(),
	grpc_health_v1.Health_List_FullMethodName:  reads(),
	grpc_health_v1.Health_Watch_FullMethodName: reads(),

	grpc_reflection_v1.ServerReflection_ServerReflectionInfo_FullMethodName:      reads(),
	grpc_reflection_v1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: reads(),
}

// shortMethod is the form of the logs: KeyService.GetKey.
func shortMethod(full string) string {
	full = strings.TrimPrefix(full, "/")
	service, method, _ := strings.Cut(full, "/")
	return service[strings.LastIndexByte(service, '.')+1:] + "." + method
}
