package tlspsk

import (
	"errors"
	"io"
	"time"
)

// Levels of alerts (RFC 5246 section 7.2).
const (
	alertWarning uint8 = 1
	alertFatal   uint8 = 2
)

// sendAlert writes one alert record; the caller holds c.out.
func (c *Conn) sendAlert(level uint8, a Alert) error {
	record, err := appendRecord(make([]byte, 0, 2+sealOverhead), c.out.protection, recordAlert,
		c.recordVersion(), []byte{level, byte(a)}, c.config.rand())
	if err != nil {
		return err
	}
	_, err = c.conn.Write(record)
	return err
}

// sendCloseNotify sends close_notify; nothing may be written afterwards.
func (c *Conn) sendCloseNotify() error {
	_ = c.conn.SetWriteDeadline(time.Now().Add(closeTime))
	return c.sendAlert(alertWarning, AlertCloseNotify)
}

// endWriting makes every later Write return err, and tells the peer if err was
// found on this end. A Write that waits for the peer is ended by the deadline.
func (c *Conn) endWriting(err error) {
	_ = c.conn.SetWriteDeadline(time.Now().Add(faultTime))
	c.out.Lock()
	defer c.out.Unlock()
	if c.out.err != nil {
		return
	}
	c.out.err = err
	var alert *AlertError
	if !errors.As(err, &alert) || alert.FromPeer {
		return
	}
	level := alertFatal
	if alert.Alert == AlertNoRenegotiation {
		level = alertWarning // it is never fatal (RFC 5246 section 7.2.2)
	}
	_ = c.sendAlert(level, alert.Alert)
}

// receiveAlert judges an alert record: nil for one to be ignored, io.EOF for
// close_notify, else an AlertError. Warnings that are not known to be harmless
// end the connection, as a receiver may choose (RFC 5246 section 7.2.2).
func (c *Conn) receiveAlert(payload []byte) error {
	if len(payload) != 2 || payload[0] != alertWarning && payload[0] != alertFatal {
		return failf(AlertDecodeError, "malformed alert")
	}
	level, a := payload[0], Alert(payload[1])
	switch {
	case a == AlertCloseNotify:
		return io.EOF
	case level == alertWarning && (a == AlertUserCanceled || a == AlertNoRenegotiation || a == AlertUnrecognizedName):
		return c.useless()
	}
	return &AlertError{Alert: a, FromPeer: true}
}
