//! Where a client comes from, as the store is told before its greeting: the PROXY protocol, version 2
//! (HAProxy's `proxy-protocol.txt`, §2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sys::socket::Peer;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// The types and the flag of what is told about TLS.
const TYPE_SSL: u8 = 0x20;
const TYPE_SSL_VERSION: u8 = 0x21;
const CLIENT_SSL: u8 = 0x01;

/// A client.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) peer: Peer,
    /// Which TLS it speaks, if it does.
    pub(super) tls: Option<&'static str>,
}

impl Origin {
    /// The header. The ports, and the proxy's own side, are not told. TLS is, since some stores take a
    /// password in the clear from other machines only where the client's own connection has it.
    pub(super) fn header(&self) -> Vec<u8> {
        let (command, family, mut told) = match &self.peer {
            // The connection is the proxy's own.
            Peer::User(_) => (LOCAL, 0, Vec::new()),
            Peer::Host(IpAddr::V4(host)) => (
                PROXY,
                TCP_OVER_IPV4,
                [host.octets(), Ipv4Addr::LOCALHOST.octets(), [0; 4]].concat(),
            ),
            Peer::Host(IpAddr::V6(host)) => {
                let hosts = [host.octets(), Ipv6Addr::LOCALHOST.octets()].concat();
                (PROXY, TCP_OVER_IPV6, [hosts, vec![0; 4]].concat())
            }
        };
        if let (Some(version), PROXY) = (self.tls, command) {
            // No certificate of the client's was verified.
            let mut ssl = vec![CLIENT_SSL, 0, 0, 0, 1];
            ssl.extend_from_slice(&piece(TYPE_SSL_VERSION, version.as_bytes()));
            told.extend_from_slice(&piece(TYPE_SSL, &ssl));
        }
        let length = u16::try_from(told.len()).unwrap_or_default();
        [SIGNATURE, &[command, family], &length.to_be_bytes(), &told].concat()
    }
}

/// A type, a length and a value.
fn piece(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap_or_default();
    [&[kind], &length.to_be_bytes()[..], value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let header = |peer, tls| Origin { peer, tls }.header().split_off(SIGNATURE.len());
        assert_eq!(header(Peer::User(3), Some("TLSv1.3")), [0x20, 0, 0, 0]);
        let host = |host: &str| Peer::Host(host.parse().unwrap());
        let v4 = header(host("192.0.2.7"), None);
        assert_eq!(v4, [0x21, 0x11, 0, 12, 192, 0, 2, 7, 127, 0, 0, 1, 0, 0, 0, 0]);
        let v6 = header(host("2001:db8::7"), None);
        assert_eq!((&v6[..4], v6.len(), v6[19]), (&[0x21, 0x21, 0, 36][..], 40, 7));
        let tls = header(host("192.0.2.7"), Some("TLSv1.3"));
        assert_eq!(tls[..4], [0x21, 0x11, 0, 30]);
        assert_eq!(tls[16..], *b"\x20\0\x0f\x01\0\0\0\x01\x21\0\x07TLSv1.3");
    }
}
