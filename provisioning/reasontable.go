package provisioning

var reasons = []ReasonInfo{
	{
		UnknownPID, "The hello names a PID that is not in the store.",
		"Import the list or setup.bin that the PC's pair came from, or give the PC a pair that is in the store; its next hello is then followed.",
	},
	{
		SpentPID, "The hello names a pair whose set-up is done.",
		"Give the PC a fresh pair by USB key or in MEBx.",
	},
	{
		RevokedPID, "The hello names a pair that was withdrawn.",
		"Give the PC a fresh pair by USB key or in MEBx: a pair that was withdrawn does not come back.",
	},
	{
		RetiredPID, "The hello names a pair that was retired with its batch or device.",
		"Give the PC a fresh pair. One that no device ever held can be taken back instead: scsctl keys restore PID.",
	},
	{
		ExpiredBatch, "The hello names a pair of a batch that has expired before the pair was used.",
		"If the PC is genuine, give the batch more time with: scsctl keys batch set NAME --expires DATE. Its next hello is then followed.",
	},
	{
		PKINotConfigured, "PKI set-up is not configured: the hello is of version 3, which asks for set-up by certificate.",
		"Set the PC up with a PID/PPS pair if its firmware is older than AMT 11; newer firmware has to wait for PKI set-up.",
	},
	{
		UnknownHelloVersion, "The hello has a version that this server does not know.",
		"Check that the sender is an Intel AMT device.",
	},
	{
		AbsentUUID, "The PC names no UUID: all zeros or all ones.",
		"Have the PC's mainboard given a UUID with its maker's tool; a device cannot be kept apart without one.",
	},
	{
		DuplicatePair, "A second PC proved to hold a pair that another one has claimed or has reserved.",
		"Give this PC a pair of its own. If neither PC was cloned or set up twice from one list, treat the pair as stolen and revoke it.",
	},
	{
		AlreadyOperational, "The device is Operational, and the hello names a pair that is neither its present nor its next one.",
		"If the PC was reset and set up anew on purpose, let it in with: scsctl device retry UUID --pid PID. Else somebody tries to pass for it.",
	},
	{
		SetupCancelled, "The set-up of this device was cancelled by an operator.",
		"Start it again with: scsctl device retry UUID.",
	},
	{
		AddressNotAllowed, "The hello came from an address that the dial policy does not allow.",
		"Widen --dial-allow of scsd run if PCs live there; hellos through NAT or a proxy cannot be followed.",
	},
	{
		DialFailed, "The PC said hello but does not answer on its set-up port.",
		"Check that nothing between server and PC blocks TCP 16993, and that no NAT or proxy stands between them.",
	},
	{
		KeyMismatch, "The PC knows the PID but holds another PPS.",
		"Compare the PC's pair with the list it came from; a typing error in MEBx is the usual cause. Enter the pair again.",
	},
	{
		PIDUnknownToDevice, "The PC does not know the PID that its hello named.",
		"The hello may be forged or late. If the PC keeps saying hello, enter its pair again.",
	},
	{
		NoPSK, "What answers on the set-up port speaks TLS without a pre-shared key, or no TLS.",
		"The PC may be set up already, or another machine has its address.",
	},
	{
		TLSFailed, "The TLS handshake with the PC failed for another reason than its key.",
		"Look at the detail; --psk-suites and --psk-versions may have to fit the firmware.",
	},
	{
		LoginFailed, "The PC takes the pair but refuses every password that it may have.",
		"Correct it with: scsctl keys password PID. Or set the PC back to factory mode and start from a USB key.",
	},
	{
		UUIDMismatch, "The PC that answers names another UUID than the hello.",
		"The hello may be forged, or two PCs share an address. The PC's own next hello will be followed.",
	},
	{
		NotInSetup, "The PC is not in set-up: it is in factory mode or Operational.",
		"Wait for its next hello; if it is Operational but unknown here, unprovision it in MEBx.",
	},
	{
		FirmwareSpeaksSOAPOnly, "The firmware speaks only the SOAP interface of AMT 2.x.",
		"Update the PC's firmware to AMT 3.2.1 or later if its maker has one; AMT 2.x cannot be set up by this server.",
	},
	{
		UnexpectedAnswer, "The PC's answer is not one that AMT gives.",
		"Look at the detail. If the PC is an Intel AMT device, report its firmware's version.",
	},

	{
		NameNeeded, "The device has no host name: none is assigned, the profile gives none, and DNS knows none that agrees.",
		"Name it with: scsctl device assign UUID --fqdn NAME.",
	},
	{
		NameTaken, "Another device has the host name that this one is to get.",
		"Assign one of the two another name with: scsctl device assign UUID --fqdn NAME.",
	},
	{
		ProfileMissing, "The profile that the device is to get does not exist.",
		"Apply the profile, or assign another one with: scsctl device assign UUID --profile NAME.",
	},
	{
		ProfileUnfit, "The profile asks for something that this firmware cannot do.",
		"Assign another profile, or change this one; then: scsctl device retry UUID.",
	},
	{
		NoAnswer, "The device does not answer. It is tried again and on its next hello.",
		"Check that the PC has power and its network, and that TCP 16993 is open.",
	},
	{
		DeviceBusy, "The firmware is busy. It is tried again.",
		"If it stays so, take the PC off mains power for ten seconds.",
	},
	{
		ClockRefused, "The device refuses to have its clock set.",
		"Look at the status in the detail; check the server's own clock.",
	},
	{
		KeyRefused, "The device refuses to make or take a key.",
		"Look at the status in the detail; full tables are emptied by setting the PC back to factory mode.",
	},
	{
		KeyGenerationBusy, "The device did not get ready to make a key. It is tried again.",
		"If it stays so, take the PC off mains power for ten seconds.",
	},
	{
		CertificateNotIssued, "The certificate authority refuses the device's certificate.",
		"Look at the detail: the host name or the key is usually the reason. Assign another name and retry.",
	},
	{
		CertificateMismatch, "The certificate that was issued does not fit the device's key.",
		"Retry; if it happens again report it, with the firmware's version.",
	},
	{
		CertificateRefused, "The device refuses its certificate.",
		"Look at the status in the detail; old firmware may not take SHA-256.",
	},
	{
		TrustedRootRefused, "The device refuses the root certificate that mutual TLS needs.",
		"Look at the status in the detail; full tables are emptied by setting the PC back to factory mode.",
	},
	{
		CredentialRefused, "The device refuses to use the certificate for TLS.",
		"Look at the status in the detail, then: scsctl device retry UUID. If it stays so, set the PC back to factory mode: full tables are emptied.",
	},
	{
		ClientCertificateAbsent, "The profile asks for mutual TLS, but the server has no client certificate for devices.",
		"Run scsd doctor; scsd init makes that certificate.",
	},
	{
		SettingRefused, "The device refuses a setting of the profile.",
		"The detail names it: change the profile, then: scsctl device retry UUID.",
	},
	{
		SettingNotKept, "The device took a setting but shows another value when it is read again.",
		"The detail names it: change the profile, then: scsctl device retry UUID.",
	},
	{
		MEBxPasswordRefused, "The device refuses the MEBx password for another reason than its policy.",
		"Look at the status in the detail; check the profile's MEBx password.",
	},
	{
		NextPairNotTaken, "The profile requires a pair for the next set-up, and the device takes none.",
		"Set next_pair to optional in the profile if a visit to the PC is acceptable next time; then retry.",
	},
	{
		AdminPasswordRefused, "The device refuses the new administrator's password.",
		"Look at the status in the detail; check the profile's admin password.",
	},
	{
		PasswordNotProven, "The device refuses every password that it may have.",
		"scsctl device password UUID shows them. Somebody may have changed it at the PC: set it back to factory mode.",
	},
	{
		CommitDataMissing, "The device refuses to commit because something is missing.",
		"Check host name, certificate and clock in the profile's parts; then retry.",
	},
	{
		CommitRefused, "The device refuses to commit.",
		"Look at the status in the detail, then retry: a device that has committed all the same is found.",
	},
	{
		FlashWriteLimit, "The firmware has written its flash memory too often for now.",
		"Leave the PC on mains power for an hour or more, then retry.",
	},
	{
		CommitUnproven, "CommitChanges was sent, and the device has not yet been seen Operational. It is tried again.",
		"Check that its name resolves to its new address, and that TCP 16993 is open.",
	},
	{
		DeviceCertificateWrong, "What answers at the device's address shows another certificate than the device was given.",
		"Another machine may have the address. The device is looked for again.",
	},
	{
		AuditBlocked, "The firmware's audit log blocks the call.",
		"Have the auditor of the PC release or clear its audit log.",
	},
	{
		NotPermitted, "The firmware does not permit the call.",
		"Look at the detail; a policy in MEBx may forbid it.",
	},
	{
		TooManyRewinds, "The device was found in an earlier state too often.",
		"Somebody or something resets it. Look at its events, then retry.",
	},
	{
		StoreFailed, "The server's store failed. It is tried again.",
		"Check the disk of the server; scsd doctor helps.",
	},
	{Superseded, "A newer set-up of the device took this one's place.", ""},
	{ByOperator, "An operator asked for it.", ""},
	{
		InternalFault, "The server met a fault of its own.",
		"Report it with the log lines of this UUID.",
	},
}
