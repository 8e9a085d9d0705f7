package tlspsk

import "net"

// NewListener wraps the connections of inner with Server; Accept does not wait
// for their handshakes, their first Read or Write does. The ReadHeaderTimeout of
// an http.Server bounds them too.
func NewListener(inner net.Listener, c *Config) net.Listener {
	return &listener{inner, c}
}

type listener struct {
	net.Listener
	config *Config
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return Server(conn, l.config), nil
}
