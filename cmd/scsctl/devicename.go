package main

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/amt"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// theDevice is the help of commands that take a device.
const theDevice = "A device is named by its UUID, its whole host name, or the first label of that."

// deviceUUID is the UUID of the device that a person names by it or by its host
// name. A UUID is not looked up.
func deviceUUID(ctx context.Context, conn grpc.ClientConnInterface, name string) (string, error) {
	if _, err := amt.ParseUUID(name); err == nil {
		return name, nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	found, err := devicesCalled(ctx, scsv1.NewDeviceServiceClient(conn), name)
	if err != nil {
		return "", err
	}
	switch len(found) {
	case 1:
		return found[0].GetUuid(), nil
	case 0:
		return "", &failure{
			code: exitNotFound, message: fmt.Sprintf("no device has the UUID or name %q", name),
			hint: "scsctl device list shows the devices, scsctl inbox list the PCs that are none yet",
		}
	}
	return "", &failure{
		code: exitFailed, message: fmt.Sprintf("%d devices are called %q, %s and %s among them", len(found), name, found[0].GetUuid(), found[1].GetUuid()),
		hint: "give the UUID or the whole name",
	}
}

// devicesCalled lists the devices with a name, or with it as their first label.
func devicesCalled(ctx context.Context, client scsv1.DeviceServiceClient, name string) ([]*scsv1.Device, error) {
	if name == "" {
		return nil, nil
	}
	var found []*scsv1.Device
	for token := ""; ; {
		resp, err := client.ListDevices(ctx, &scsv1.ListDevicesRequest{FqdnPrefix: name, PageSize: int32(pageSize), PageToken: token})
		if err != nil {
			return nil, err
		}
		for _, d := range resp.GetDevices() {
			switch fqdn := strings.ToLower(d.GetFqdn()); {
			case fqdn == name:
				return []*scsv1.Device{d}, nil
			case strings.HasPrefix(fqdn, name+"."):
				found = append(found, d)
			}
		}
		if token = resp.GetNextPageToken(); token == "" {
			return found, nil
		}
	}
}
