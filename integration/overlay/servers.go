package overlay

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// ServerPort is the TCP and UDP port of these tests' servers.
const ServerPort = 8000

// AnswerTime bounds one request of these tests.
const AnswerTime = 2 * time.Second

// Serve serves TCP and UDP in a workload until the test ends: it answers with the client's
// address and the text that it was given. For UDP, a workload with several addresses has to
// name the ones to listen on: otherwise it would answer from any of them.
func Serve(t *testing.T, w *lab.Workload, named ...netip.Addr) {
	t.Helper()
	var tcp *net.TCPListener
	var udp []*net.UDPConn
	err := w.InNetNS(func() (err error) {
		if tcp, err = net.ListenTCP("tcp4", &net.TCPAddr{Port: ServerPort}); err != nil {
			return err
		}
		if len(named) == 0 {
			named = []netip.Addr{netip.IPv4Unspecified()}
		}
		for _, a := range named {
			c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(ServerAt(a)))
			if err != nil {
				return err
			}
			udp = append(udp, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		tcp.Close()
		for _, c := range udp {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprintf(c, "%s\n", c.RemoteAddr())
				io.Copy(c, c)
			}()
		}
	}()
	for _, c := range udp {
		go func() {
			b := make([]byte, 1<<16)
			for {
				n, from, err := c.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				c.WriteToUDPAddrPort(append([]byte(from.String()+"\n"), b[:n]...), from)
			}
		}()
	}
}

// Dial opens a connection from a workload.
func Dial(w *lab.Workload, network string, to netip.AddrPort) (c net.Conn, err error) {
	err = w.InNetNS(func() error {
		d := net.Dialer{Timeout: AnswerTime}
		c, err = d.Dial(network, to.String())
		return err
	})
	return c, err
}

// AskWho sends a payload of that many bytes to a Serve over TCP or UDP, and returns the address
// that it saw.
func AskWho(w *lab.Workload, network string, to netip.AddrPort, size int) (netip.AddrPort, error) {
	c, err := Dial(w, network, to)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer c.Close()
	return WhoAmI(c, size)
}

// WhoAmI is AskWho on an open connection.
func WhoAmI(c net.Conn, size int) (netip.AddrPort, error) {
	c.SetDeadline(time.Now().Add(AnswerTime))
	if _, err := c.Write(make([]byte, size)); err != nil {
		return netip.AddrPort{}, err
	}
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	if err != nil {
		return netip.AddrPort{}, err
	}
	line, rest, _ := strings.Cut(string(b[:n]), "\n")
	if c.LocalAddr().Network() == "udp" && len(rest) != size {
		return netip.AddrPort{}, fmt.Errorf("%d bytes came back of %d", len(rest), size)
	}
	return netip.ParseAddrPort(line)
}

// SeenAs polls until a server sees a client with an address.
func (o *Outdoors) SeenAs(from *lab.Workload, network string, to netip.AddrPort, size int, want netip.Addr) {
	o.T.Helper()
	lab.Eventually(o.T, PollTime, fmt.Sprintf("%s seen as %s over %s at %s", from.NetNS, want, network, to), func() error {
		got, err := AskWho(from, network, to, size)
		if err == nil && got.Addr() != want {
			err = fmt.Errorf("seen as %s", got)
		}
		return err
	})
}

// ServerAt returns the address and port of a Serve.
func ServerAt(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, ServerPort) }

// AcceptTCP listens on a TCP port of a host, like sshd, and counts connections.
func AcceptTCP(t *testing.T, h *lab.Host, a netip.AddrPort) (accepted chan netip.AddrPort) {
	t.Helper()
	var l net.Listener
	if err := h.InNetNS(func() (err error) {
		l, err = net.Listen("tcp4", a.String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accepted = make(chan netip.AddrPort, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c.RemoteAddr().(*net.TCPAddr).AddrPort()
			c.Close()
		}
	}()
	return accepted
}

// ConnectTCP opens a TCP connection and closes it.
func ConnectTCP(w *lab.Workload, to netip.AddrPort, timeout time.Duration) error {
	return w.InNetNS(func() error {
		c, err := net.DialTimeout("tcp", to.String(), timeout)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Briefly is long enough for a SYN to be dropped; the drop counter confirms it.
const Briefly = 200 * time.Millisecond

// PayloadContains matches datagrams whose payload contains words.
func PayloadContains(words string) lab.Match {
	return func(p lab.Packet) bool { return bytes.Contains(p.Payload, []byte(words)) }
}

// Tell sends a datagram with words, from a socket of its own.
func Tell(w *lab.Workload, to netip.AddrPort, words string) error {
	c, err := Dial(w, "udp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(words))
	return err
}

// TellUntilHeard sends a datagram repeatedly until a capture receives it.
func (o *Outdoors) TellUntilHeard(from *lab.Workload, to netip.AddrPort, words string, by *lab.Capture) {
	o.T.Helper()
	lab.Eventually(o.T, PollTime, fmt.Sprintf("%q, told to %s, on %s", words, to, by.Name), func() error {
		if err := Tell(from, to, words); err != nil {
			return err
		}
		return Seen(by, PayloadContains(words))
	})
}

// Seen waits a moment for a packet.
func Seen(c *lab.Capture, m lab.Match) error {
	for end := time.Now().Add(AnswerTime / 4); c.Count(m) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("not among %d frames", c.Count(nil))
		}
	}
	return nil
}
