//! `[imap]`

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use crate::sys::socket::Address;

use super::bounds;

/// `[imap]`: the proxy that mail clients read through. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Imap {
    /// Where it listens, unless the service manager hands sockets over: these speak TLS when there is a
    /// certificate and they listen at port 993.
    pub listen: Vec<Endpoint>,
    /// The permission bits of a Unix socket in `listen`.
    #[serde(deserialize_with = "bounds::mode")]
    pub socket_mode: u32,
    /// The certificate chain, in PEM; there is no TLS when empty.
    pub tls_certificate: PathBuf,
    /// Its private key, in PEM.
    pub tls_key: PathBuf,
    /// The store's IMAP server.
    pub backend: Endpoint,
    /// Whom to believe that he is the store, when it is asked over TLS: certificates in PEM.
    pub backend_tls_ca: PathBuf,
    /// Whether the store is told the client's address before its greeting (PROXY protocol, version 2).
    pub backend_proxy_protocol: bool,
    /// Whether the store is told the client's address by ID before the login (Dovecot's
    /// `login_trusted_networks`).
    pub backend_id: bool,
    /// How long the store may take to come up.
    #[serde(deserialize_with = "bounds::timeout")]
    pub backend_connect_timeout: u64,
    /// How long it may take for an answer, or for the next piece of one.
    #[serde(deserialize_with = "bounds::timeout")]
    pub backend_timeout: u64,
    /// How many clients may be connected.
    #[serde(deserialize_with = "bounds::count")]
    pub connections: usize,
    /// How many of them may be one host's or one local user's.
    #[serde(deserialize_with = "bounds::count")]
    pub connections_per_client: usize,
    /// How long a client may take to log in, and for each piece of a command.
    #[serde(deserialize_with = "bounds::timeout")]
    pub command_timeout: u64,
    /// How long a client may say nothing once it is logged in (RFC 3501 §5.4: at least 30 minutes).
    #[serde(deserialize_with = "bounds::timeout")]
    pub idle_timeout: u64,
    /// How often somebody may guess a password on one connection.
    #[serde(deserialize_with = "bounds::count")]
    pub login_attempts: usize,
    /// Memory for all messages that are being appended or read, in octets.
    pub memory_bytes: u64,
    /// How long a message that is appended, or a client who reads, waits for memory.
    #[serde(deserialize_with = "bounds::seconds")]
    pub wait_timeout: u64,
    /// Memory for opened summaries and messages of all users, in octets.
    pub cache_bytes: u64,
    /// How long what is in flight may take after SIGTERM.
    #[serde(deserialize_with = "bounds::seconds")]
    pub stop_timeout: u64,
    /// Where metrics can be read; nowhere when empty.
    #[serde(deserialize_with = "bounds::local")]
    pub metrics: Vec<Address>,
}

impl Default for Imap {
    fn default() -> Self {
        let inet = |host: &str| Endpoint { address: Address::Inet(host.into()), is_tls: false };
        Self {
            listen: vec![inet("127.0.0.1:1430")],
            socket_mode: 0o660,
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            backend: inet("127.0.0.1:143"),
            backend_tls_ca: "/etc/ssl/certs/ca-certificates.crt".into(),
            backend_proxy_protocol: false,
            backend_id: false,
            backend_connect_timeout: 30,
            backend_timeout: 300,
            connections: 4000,
            connections_per_client: 1000,
            command_timeout: 60,
            idle_timeout: 31 * 60,
            login_attempts: 3,
            memory_bytes: 512 * 1024 * 1024,
            wait_timeout: 60,
            cache_bytes: 256 * 1024 * 1024,
            stop_timeout: 10,
            metrics: Vec::new(),
        }
    }
}

impl Imap {
    /// The settings in which `new` differs and which a running service does not take over.
    pub fn left_by_reload(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            ("listen", self.listen != new.listen),
            ("socket_mode", self.socket_mode != new.socket_mode),
            ("memory_bytes", self.memory_bytes != new.memory_bytes),
            ("wait_timeout", self.wait_timeout != new.wait_timeout),
            ("cache_bytes", self.cache_bytes != new.cache_bytes),
            ("metrics", self.metrics != new.metrics),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// An address, and whether TLS is spoken there from the first octet on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint {
    /// Where.
    pub address: Address,
    /// `tls:host:port` rather than `inet:host:port`.
    pub is_tls: bool,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = text.strip_prefix("tls:");
        let address = host.map_or_else(|| text.parse(), |host| format!("inet:{host}").parse());
        let address =
            address.map_err(|_| "not of the form unix:/path, inet:host:port or tls:host:port");
        Ok(Self { address: address?, is_tls: host.is_some() })
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|problem| format!("{text:?} is {problem}"))
    }
}

impl Endpoint {
    /// The host's name, without its port; `None` of a Unix socket.
    pub fn host(&self) -> Option<&str> {
        let Address::Inet(host) = &self.address else { return None };
        let host = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host);
        Some(host.trim_start_matches('[').trim_end_matches(']'))
    }

    /// Whether this is where a listener says that it listens.
    pub fn is_at(&self, listener: &str) -> bool {
        let Address::Inet(own) = &self.address else { return self.address.to_string() == listener };
        let there = listener.strip_prefix("inet:").and_then(|there| there.parse().ok());
        let Some::<SocketAddr>(there) = there else { return false };
        match own.parse::<SocketAddr>() {
            // The kernel may have chosen the port.
            Ok(own) => own.ip() == there.ip() && (own.port() == there.port() || own.port() == 0),
            // A name here is a number there: then the port tells.
            Err(_) => {
                let port = own.rsplit_once(':').map(|(_, port)| port.parse());
                port == Some(Ok(there.port()))
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Inet(host) if self.is_tls => write!(f, "tls:{host}"),
            address => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let tls: Endpoint = "tls:[::1]:993".parse().unwrap();
        assert!(tls.is_tls && tls.host() == Some("::1") && tls.to_string() == "tls:[::1]:993");
        let plain: Endpoint = "inet:mail.test:143".parse().unwrap();
        assert!(!plain.is_tls && plain.host() == Some("mail.test"));
        for (endpoint, listener, is_at) in [
            ("tls:[0:0::1]:993", "inet:[::1]:993", true),
            ("tls:[::1]:993", "inet:[::1]:994", false),
            ("tls:127.0.0.1:0", "inet:127.0.0.1:40001", true),
            ("tls:localhost:993", "inet:127.0.0.1:993", true),
            ("tls:localhost:993", "inet:127.0.0.1:994", false),
            ("unix:/run/imap", "unix:/run/imap", true),
            ("unix:/run/imap", "inet:127.0.0.1:993", false),
        ] {
            let endpoint: Endpoint = endpoint.parse().unwrap();
            assert_eq!(endpoint.is_at(listener), is_at, "{endpoint} {listener}");
        }
        assert_eq!("unix:/run/imap".parse::<Endpoint>().unwrap().host(), None);
        assert!("tls:/run/imap".parse::<Endpoint>().is_err());
        assert!("tls:host".parse::<Endpoint>().is_err());
    }
}
